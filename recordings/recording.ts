/** What every recording becomes, whatever file it was read from: rows of time, heart rate and RR intervals, in order of time. */
import { HrError } from '../service/errors/errors.ts';

export interface RecordedRow {
  /** Seconds since the recording's time zero, which `startedAt` names; negative before it. */
  offsetSeconds: number;
  /** Beats per minute, 0-65535; 0: the recorder stored a 0; null: the recorder had no value. */
  bpm: number | null;
  /** RR intervals in ms, oldest first. */
  rrMs: number[];
}

/** What a reader of one kind of file returns: rows in file order, not yet checked. */
export interface Series {
  /** What the file is, for people: `FIT`, `CSV`, `TCX`. */
  format: string;
  /** The device that recorded it, if the file names it. */
  device?: string | undefined;
  /** Time zero of the offsets, in ms since 1970 UTC; undefined if the file has no dates. */
  startMs?: number | undefined;
  /** Set if a file holds several straps: which of them this is. */
  strap?: string | undefined;
  rows: RecordedRow[];
  /** What was left out, assumed or derived: one sentence each. */
  notes: string[];
}

export interface Recording {
  /** The file's name without folder and extensions; with the strap, if the file holds several. */
  name: string;
  format: string;
  device: string | undefined;
  /** UTC, ISO 8601; undefined if the file has no dates. */
  startedAt: string | undefined;
  /** In order of time; rows of one time stay in file order. */
  rows: RecordedRow[];
  notes: string[];
}

/** The error of a recording that cannot be used. `detail` says what was found, and, where that is known, what would work. */
export function unreadable(file: string, detail: string, cause?: unknown): HrError {
  return new HrError('recording_unreadable', {
    operation: `read the recording ${file}`,
    // One line, whatever was quoted from the file.
    detail: detail.replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' '),
    ...(cause === undefined ? {} : { cause }),
  });
}

/** Thrown by the readers of one kind of file, which do not know the file's name; `readRecordings` makes it an HrError. */
export class UnusableContent extends Error {
  override readonly name = 'UnusableContent';
}

/** `1 row`, `12,345 rows`. */
export function counted(count: number, what: string, plural = `${what}s`): string {
  return `${count.toLocaleString('en-US')} ${count === 1 ? what : plural}`;
}
