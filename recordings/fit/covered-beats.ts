/**
 * A watch that records heart rates and a strap that stores its beats both report the same heart. Where the watch has rates, the strap's
 * would come twice, so only the intervals between its beats are taken there; elsewhere, for example under water, its beats are the rates.
 */
import type { RecordedRow } from '../recording.ts';

/** Rated records this close together, in seconds, cover the time between them: watches record up to 8 s apart. */
const COVERS_SECONDS = 10;
/** Before the first and after the last of a series of rated records. */
const EDGE_SECONDS = 1;

/**
 * Splits beats by whether records cover them. Intervals of covered beats go to the record at or after them, unless the records have
 * intervals (`withIntervals` false). `records` are in file order; both have offsets of one time zero.
 */
export function coveredBeats(
  records: readonly RecordedRow[],
  beats: readonly RecordedRow[],
  { withIntervals }: { withIntervals: boolean },
): { own: RecordedRow[]; repeated: number } {
  const rated = records.filter(({ bpm }) => bpm !== null && bpm > 0).sort((a, b) => a.offsetSeconds - b.offsetSeconds);
  if (rated.length === 0) return { own: [...beats], repeated: 0 };
  const own: RecordedRow[] = [];
  let repeated = 0;
  const given = new Map<RecordedRow, number[]>();
  for (const beat of beats) {
    const at = firstAtOrAfter(rated, beat.offsetSeconds);
    const before = rated[at - 1];
    const after = rated[at];
    const isBetween = before !== undefined && after !== undefined && after.offsetSeconds - before.offsetSeconds <= COVERS_SECONDS;
    const isNear =
      (before !== undefined && beat.offsetSeconds - before.offsetSeconds <= EDGE_SECONDS) ||
      (after !== undefined && after.offsetSeconds - beat.offsetSeconds <= EDGE_SECONDS);
    if (!isBetween && !isNear) {
      own.push(beat);
      continue;
    }
    repeated += 1;
    const record = after ?? before;
    if (withIntervals && record !== undefined) given.set(record, [...(given.get(record) ?? []), ...beat.rrMs]);
  }
  for (const [record, rrMs] of given) record.rrMs = [...record.rrMs, ...rrMs];
  return { own, repeated };
}

/** Index of the first row at or after a time; the length if there is none. */
function firstAtOrAfter(rows: readonly RecordedRow[], seconds: number): number {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((rows[middle]?.offsetSeconds ?? 0) < seconds) low = middle + 1;
    else high = middle;
  }
  return low;
}
