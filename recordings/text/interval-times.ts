/** Lists of RR intervals without times: each beat comes its interval after the one before. */
import type { RecordedRow } from '../recording.ts';

/** Intervals below this are seconds: no heart beats 100 times a second, and none pauses for 10 s. */
const SECONDS_BELOW = 10;

/** The unit that most of the intervals are in. Whole numbers are never seconds: no recorder rounds intervals to them. */
export function unitOfIntervals(intervals: readonly number[]): 'ms' | 's' {
  if (intervals.every(Number.isInteger)) return 'ms';
  const positive = intervals.filter((value) => value > 0).sort((a, b) => a - b);
  const median = positive[positive.length >> 1];
  return median !== undefined && median < SECONDS_BELOW ? 's' : 'ms';
}

/** Rows at the end of their intervals, counted from the first beat of all. */
export function offsetsOfIntervals(rows: readonly { bpm: number | null; rrMs: number[] }[]): { rows: RecordedRow[] } {
  let sumMs = 0;
  return {
    rows: rows.map(({ bpm, rrMs }) => {
      for (const ms of rrMs) sumMs += ms;
      return { offsetSeconds: sumMs / 1000, bpm, rrMs };
    }),
  };
}
