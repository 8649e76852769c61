/**
 * Recordings: rows of offset, heart rate and RR intervals, read from CSV or FIT. CSV has the columns `offset_seconds`,
 * `heart_rate_bpm` (empty: no value) and, optionally, `rr_ms` (separated by spaces, oldest first). Rows stay in file order.
 */
import { readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { HrError, messageOf } from '../../../service/errors/errors.ts';

export interface RecordedRow {
  offsetSeconds: number;
  /** null: the recorder had no value. */
  bpm: number | null;
  rrMs: number[];
}

export interface Recording {
  /** The file's name without folder and extension. */
  name: string;
  rows: RecordedRow[];
}

/** A whole day has fewer than 100,000 rows; a larger file is not a recording. */
const MAX_BYTES = 64 * 1024 * 1024;

/** The error of a recording that cannot be used. */
export function unreadable(file: string, detail: string, cause?: unknown): HrError {
  return new HrError('recording_unreadable', {
    operation: `read the recording ${file}`,
    detail,
    ...(cause === undefined ? {} : { cause }),
  });
}

function numberIn(text: string | undefined, low: number, high: number): number | undefined {
  const trimmed = text?.trim() ?? '';
  if (!/^\d+(\.\d+)?$/.test(trimmed)) return undefined;
  const value = Number(trimmed);
  return value >= low && value <= high ? value : undefined;
}

/** Throws HrError `recording_unreadable` naming the line. */
export function parseCsvRecording(text: string, file: string): RecordedRow[] {
  const lines = text.replace(/^\uFEFF/, '').split(/\r?\n/);
  const header = (lines[0] ?? '').split(',').map((name) => name.trim());
  const at = { offset: header.indexOf('offset_seconds'), bpm: header.indexOf('heart_rate_bpm'), rr: header.indexOf('rr_ms') };
  if (at.offset < 0 || at.bpm < 0) throw unreadable(file, 'line 1 must name the columns offset_seconds and heart_rate_bpm');
  const rows: RecordedRow[] = [];
  for (const [index, line] of lines.entries()) {
    if (index === 0 || line.trim() === '') continue;
    const cells = line.split(',');
    const offsetSeconds = numberIn(cells[at.offset], 0, 1e9);
    if (offsetSeconds === undefined)
      throw unreadable(file, `line ${index + 1}: offset_seconds must be a number of seconds, 0-1e9`);
    const empty = (cells[at.bpm] ?? '').trim() === '';
    const bpm = empty ? null : numberIn(cells[at.bpm], 0, 65_535);
    if (bpm === undefined || (bpm !== null && !Number.isInteger(bpm)))
      throw unreadable(file, `line ${index + 1}: heart_rate_bpm must be empty or a whole number, 0-65535`);
    const rr = at.rr < 0 ? [] : (cells[at.rr] ?? '').split(' ').filter((part) => part.trim() !== '');
    const rrMs = rr.map((part) => numberIn(part, 0, 63_999));
    if (rrMs.some((interval) => interval === undefined))
      throw unreadable(file, `line ${index + 1}: rr_ms must be numbers of milliseconds, 0-63999`);
    rows.push({ offsetSeconds, bpm, rrMs: rrMs as number[] });
  }
  return rows;
}

async function parseRows(bytes: Buffer, file: string): Promise<RecordedRow[]> {
  const ending = path.extname(file).toLowerCase();
  if (ending === '.csv') return parseCsvRecording(bytes.toString('utf8'), file);
  if (ending === '.fit') return await (await import('./fit-recording.ts')).parseFitRecording(bytes, file);
  throw unreadable(file, `unknown file type ${ending === '' ? '(no extension)' : ending}; use .csv or .fit`);
}

/** Reads a recording. Throws HrError `recording_unreadable`. */
export async function readRecording(file: string): Promise<Recording> {
  let bytes: Buffer;
  try {
    if (statSync(file).size > MAX_BYTES) throw unreadable(file, `the file is larger than ${MAX_BYTES / 1024 / 1024} MiB`);
    bytes = readFileSync(file);
  } catch (error) {
    throw error instanceof HrError ? error : unreadable(file, messageOf(error), error);
  }
  const rows = await parseRows(bytes, file);
  if (!rows.some(({ bpm }) => bpm !== null)) throw unreadable(file, 'no row has a heart rate');
  return { name: path.basename(file, path.extname(file)), rows };
}
