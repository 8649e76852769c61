/** From what a file holds to a recording: heart rates for files of RR intervals only, whole numbers, order of time. */
import { counted, UnusableContent, type RecordedRow, type Recording, type Series } from './recording.ts';

/** A heart rate that is derived from intervals is the mean of so many ms of them, as straps smooth theirs. */
const DERIVED_OVER_MS = 5000;
const BPM_MAX = 65_535;
const MS_PER_MINUTE = 60_000;
const MICROSECONDS = 1e6;

/** Gives each row with intervals the rate of the last 5 s of intervals, its own included. */
function deriveRates(rows: readonly RecordedRow[]): void {
  let recent: number[] = [];
  for (const row of rows) {
    if (row.rrMs.length === 0) continue;
    for (const ms of row.rrMs) if (ms > 0) recent.push(ms);
    let sum = 0;
    let from = recent.length;
    while (from > 0 && (sum === 0 || sum + (recent[from - 1] ?? 0) <= DERIVED_OVER_MS)) sum += recent[(from -= 1)] ?? 0;
    recent = recent.slice(from);
    if (sum > 0) row.bpm = Math.max(1, Math.min(BPM_MAX, Math.round((MS_PER_MINUTE * recent.length) / sum)));
  }
}

/** Removes heart rates that no strap can send; returns how many there were. */
function dropImpossibleRates(rows: readonly RecordedRow[]): number {
  let dropped = 0;
  for (const row of rows) {
    if (row.bpm === null || (row.bpm >= 0 && row.bpm <= BPM_MAX)) continue;
    row.bpm = null;
    dropped += 1;
  }
  return dropped;
}

/** The same for intervals. */
function dropImpossibleIntervals(rows: readonly RecordedRow[]): number {
  let dropped = 0;
  for (const row of rows) {
    if (row.rrMs.every((ms) => ms >= 0)) continue;
    const possible = row.rrMs.filter((ms) => ms >= 0);
    dropped += row.rrMs.length - possible.length;
    row.rrMs = possible;
  }
  return dropped;
}

/** Rounds heart rates to whole beats, which readings hold; returns how many had decimals. */
function roundRates(rows: readonly RecordedRow[]): number {
  let rounded = 0;
  for (const row of rows) {
    if (row.bpm === null || Number.isInteger(row.bpm)) continue;
    row.bpm = Math.round(row.bpm);
    rounded += 1;
  }
  return rounded;
}

/** Rows whose time is before that of a row further up, and the largest such step in seconds. */
function backwardSteps(rows: readonly RecordedRow[]): { count: number; largestSeconds: number } {
  let latest = -Infinity;
  let count = 0;
  let largestSeconds = 0;
  for (const { offsetSeconds } of rows) {
    if (offsetSeconds < latest) {
      count += 1;
      largestSeconds = Math.max(largestSeconds, latest - offsetSeconds);
    } else latest = offsetSeconds;
  }
  return { count, largestSeconds };
}

/** Throws UnusableContent if there is nothing to replay. */
export function finishRecording(name: string, series: Series): Recording {
  const notes = [...series.notes];
  const { rows } = series;
  const impossible = dropImpossibleRates(rows);
  if (impossible > 0) notes.push(`${counted(impossible, 'heart rate')} outside 0-65535 left out`);
  const negative = dropImpossibleIntervals(rows);
  if (negative > 0) notes.push(`${counted(negative, 'negative RR interval')} left out`);
  if (!rows.some(({ bpm }) => bpm !== null)) {
    if (!rows.some(({ rrMs }) => rrMs.some((ms) => ms > 0)))
      throw new UnusableContent(`${series.format}: no row has a heart rate (${counted(rows.length, 'row')} without one)`);
    deriveRates(rows);
    notes.push('no heart rates in the file: they are derived from the RR intervals, as the mean of the last 5 s');
  }
  // Differences of epochs in floating point are no exact seconds; no recorder is more exact than this.
  for (const row of rows) row.offsetSeconds = Math.round(row.offsetSeconds * MICROSECONDS) / MICROSECONDS;
  const rounded = roundRates(rows);
  if (rounded > 0) notes.push(`${counted(rounded, 'heart rate')} with decimals rounded to whole beats`);
  const steps = backwardSteps(rows);
  if (steps.count > 0) {
    rows.sort((a, b) => a.offsetSeconds - b.offsetSeconds);
    const seconds = Number(steps.largestSeconds.toFixed(3)).toLocaleString('en-US');
    notes.push(`${counted(steps.count, 'row')} out of order (the clock went back by up to ${seconds} s): put in order of time`);
  }
  const startMs = series.startMs;
  const startedAt = startMs === undefined ? undefined : isoTime(startMs + (rows[0]?.offsetSeconds ?? 0) * 1000);
  return { name, format: series.format, device: series.device, startedAt, rows, notes };
}

/** Undefined for a time that no calendar has. */
function isoTime(epochMs: number): string | undefined {
  const date = new Date(Math.round(epochMs));
  return Number.isNaN(date.getTime()) ? undefined : date.toISOString();
}
