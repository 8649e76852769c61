/** Reads bytes or text as a recording, and expects refusals, in tests. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { recordingsOf } from '../../../recordings/read-recordings.ts';
import type { Recording } from '../../../recordings/recording.ts';
import { planReplay } from '../../../recordings/replay-plan.ts';
import { HrError } from '../../../service/errors/errors.ts';

const bytesOf = (content: Uint8Array | string): Uint8Array => (typeof content === 'string' ? Buffer.from(content) : content);

export const caseFile = (name: string): Uint8Array =>
  readFileSync(fileURLToPath(new URL(`../../data/cases/${name}`, import.meta.url)));
export const recordingFile = (name: string): string => fileURLToPath(new URL(`../../data/recordings/${name}`, import.meta.url));

export async function readAll(content: Uint8Array | string, file = 'file'): Promise<Recording[]> {
  return await recordingsOf(bytesOf(content), file);
}

/** The only recording of a file. */
export async function read(content: Uint8Array | string, file = 'file'): Promise<Recording> {
  const [recording, second] = await readAll(content, file);
  assert.ok(recording !== undefined && second === undefined, 'one recording');
  return recording;
}

/** The detail of the refusal of a file. */
export async function refusal(content: Uint8Array | string): Promise<string> {
  try {
    await readAll(content);
  } catch (error) {
    assert.ok(error instanceof HrError, `not coded: ${String(error)}`);
    assert.equal(error.code, 'recording_unreadable');
    assert.ok(!error.detail.includes('\n'), `one line: ${error.detail}`);
    return error.detail;
  }
  throw new Error('the file was accepted');
}

/** Offset and rate of each row. */
export const pairs = ({ rows }: Recording): [number, number | null][] =>
  rows.map(({ offsetSeconds, bpm }) => [offsetSeconds, bpm]);
export const rates = ({ rows }: Recording): (number | null)[] => rows.map(({ bpm }) => bpm);
export const intervals = ({ rows }: Recording): number[] => rows.flatMap(({ rrMs }) => rrMs);

/** What a strap would send: bpm and intervals in ms of each reading. */
export function sent(recording: Recording): { bpm: number; rrMs: number[] }[] {
  return planReplay(recording, { maxPauseMs: 0 }).notifications.map(({ bpm, rr1024 }) => ({
    bpm,
    rrMs: rr1024.map((rr) => Math.round((rr * 1000) / 1024)),
  }));
}
