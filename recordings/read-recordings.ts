/** Reads a file that people have into recordings: FIT, TCX, GPX, Polar HRM, CSV, RR intervals, JSON Lines, plain, gzipped or zipped. */
import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { HrError, messageOf } from '../service/errors/errors.ts';
import { readContent } from './content.ts';
import { finishRecording } from './finished-recording.ts';
import { unreadable, UnusableContent, type Recording } from './recording.ts';
import { isPacked, unpack } from './unpack.ts';

/** A day of a heart rate and RR intervals per second is 5 MiB as JSON; a larger file is not a recording. */
const MAX_BYTES = 64 * 1024 * 1024;
/** Endings that say nothing about what was recorded. */
const ENDINGS = /\.(?:gz|zip|fit|tcx|gpx|hrm|csv|tsv|txt|rr|json|jsonl|ndjson|xml)$/i;

/** `ride.fit.gz` is the recording `ride`. */
export function recordingName(file: string): string {
  let name = path.basename(file);
  while (ENDINGS.test(name) && name.replace(ENDINGS, '') !== '') name = name.replace(ENDINGS, '');
  return name;
}

async function bytesOf(file: string): Promise<Uint8Array> {
  try {
    const { size } = await stat(file);
    if (size > MAX_BYTES) throw unreadable(file, `the file is larger than ${MAX_BYTES / 1024 / 1024} MiB`);
    return await readFile(file);
  } catch (error) {
    throw error instanceof HrError ? error : unreadable(file, messageOf(error), error);
  }
}

/** As `readRecordings`, of bytes in memory; `file` names them. */
export async function recordingsOf(bytes: Uint8Array, file: string): Promise<Recording[]> {
  try {
    let content = bytes;
    const notes: string[] = [];
    if (isPacked(bytes)) {
      const unpacked = await unpack(bytes, MAX_BYTES);
      content = unpacked.bytes;
      if (unpacked.note !== undefined) notes.push(unpacked.note);
    }
    if (isPacked(content)) throw new UnusableContent('an archive in an archive; unpack it');
    const all = await readContent(content);
    const name = recordingName(file);
    return all.map((series) =>
      finishRecording(series.strap === undefined ? name : `${name} ${series.strap}`.trim(), {
        ...series,
        notes: [...notes, ...series.notes],
      }),
    );
  } catch (error) {
    if (error instanceof UnusableContent) throw unreadable(file, error.message, error);
    throw error;
  }
}

/** Reads a file: one recording, or one for each strap that it holds. Throws HrError `recording_unreadable`. */
export async function readRecordings(file: string): Promise<Recording[]> {
  return await recordingsOf(await bytesOf(file), file);
}
