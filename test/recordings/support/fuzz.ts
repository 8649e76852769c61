/**
 * Fuzz of the readers of recordings: each mutated file is a coded error in one line, or a recording that keeps the law of replay. Each
 * format runs in a process of its own with a small heap, so that what a reader holds on to ends it, and its memory is that of this format.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { zipSync } from 'fflate';
import { fitChecksum } from '../../../recordings/fit/fit-checksum.ts';
import { recordingsOf } from '../../../recordings/read-recordings.ts';
import { planReplay } from '../../../recordings/replay-plan.ts';
import type { Recording } from '../../../recordings/recording.ts';
import { HrError } from '../../../service/errors/errors.ts';
import { seeded } from '../../support/seeded.ts';
import { generatedFit, generatedText } from './generated-files.ts';
import { mutated, type Random } from './mutations.ts';
import { caseFile } from './read.ts';

export const FORMATS = ['fit', 'csv', 'tcx', 'gpx', 'hrm', 'rr', 'jsonl', 'gzip', 'zip'] as const;
export type Format = (typeof FORMATS)[number];

const HRM =
  '[Params]\r\nVersion=106\r\nMonitor=34\r\nDate=20240201\r\nStartTime=10:00:00.0\r\nInterval=5\r\n\r\n' +
  '[HRData]\r\n72\t0\r\n73\t1\r\n74\t2\r\n';
const CSV_CASES = [
  'polar_flow.csv',
  'polar_sensor_logger.csv',
  'excel_unicode.csv',
  'excel_semicolon.csv',
  'jlennox_heartrate.csv',
  'goldencheetah_export.csv',
  'hrv4training.csv',
];

/** Files to mutate, none larger than a few kB. */
function seedsOf(format: Format): Uint8Array[] {
  const some = (kind: 'csv' | 'tcx' | 'gpx' | 'jsonl'): Uint8Array[] =>
    [1, 2, 3].map((seed) => generatedText(kind, seed, 12).bytes);
  switch (format) {
    case 'fit':
      return [
        ...[1, 2, 4, 7, 9, 12].map((seed) => generatedFit(seed).bytes),
        caseFile('fit/compressed.fit'),
        caseFile('fit/datasize0.fit'),
      ];
    case 'csv':
      return [...some('csv'), ...CSV_CASES.map((name) => caseFile(`csv/${name}`))];
    case 'hrm':
      return [Buffer.from(HRM), Buffer.from(HRM.replace('Interval=5', 'Interval=238').replace('72\t0', '812'))];
    case 'rr':
      return ['812\n798\n805\n', '0.812\n0,798\n', '0 812\n1 798\n', '2024-02-01T10:00:00Z,72\n2024-02-01T10:00:01Z,73\n'].map(
        (text) => Buffer.from(text),
      );
    case 'gzip':
      return [...some('csv'), generatedFit(2).bytes].map((bytes) => gzipSync(bytes));
    case 'zip':
      return [...some('csv'), generatedFit(2).bytes].map((bytes) => zipSync({ 'a.csv': bytes }));
    default:
      return some(format);
  }
}

/** Half of the mutated FIT files get a right checksum, or none of them would be read further. */
function repaired(bytes: Buffer, random: Random): Buffer {
  if (random() < 0.5 || bytes.length < 20) return bytes;
  bytes.writeUInt32LE(Math.max(0, bytes.length - (bytes[0] ?? 14) - 2), 4);
  bytes.writeUInt16LE(fitChecksum(bytes, 0, bytes.length - 2), bytes.length - 2);
  return bytes;
}

/** What must hold for every recording that is read. */
function assertLaw(recording: Recording): void {
  const { rows } = recording;
  assert.ok(
    rows.some(({ bpm }) => bpm !== null),
    'no heart rate',
  );
  let last = -Infinity;
  for (const { offsetSeconds, bpm, rrMs } of rows) {
    if (!Number.isFinite(offsetSeconds) || offsetSeconds < last) assert.fail(`time ${offsetSeconds} after ${last}`);
    last = offsetSeconds;
    if (bpm !== null && !(Number.isInteger(bpm) && bpm >= 0 && bpm <= 65_535)) assert.fail(`heart rate ${bpm}`);
    for (const ms of rrMs) if (!(Number.isFinite(ms) && ms >= 0)) assert.fail(`interval ${ms}`);
  }
  const { account, notifications } = planReplay(recording, { maxPauseMs: 0 });
  assert.equal(account.rows, account.readings + account.noPulse + account.withoutRate);
  const sent = notifications.reduce((sum, { rr1024 }) => sum + rr1024.length, 0);
  assert.equal(account.intervals, sent + account.intervalsTooLong + account.intervalsLeft);
}

export interface FuzzResult {
  files: number;
  read: number;
  refused: number;
  /** Peak resident memory of the process, in MB. */
  memoryMb: number;
  /** The slowest file, in ms. */
  slowestMs: number;
}

/** Reads mutated files of a format until `files` of them or `ms` are over. A failure names the seed of its file. */
export async function fuzz(format: Format, { files, ms }: { files: number; ms: number }, firstSeed = 1): Promise<FuzzResult> {
  const seeds = seedsOf(format);
  const result: FuzzResult = { files: 0, read: 0, refused: 0, memoryMb: 0, slowestMs: 0 };
  const end = performance.now() + ms;
  for (let seed = firstSeed; result.files < files && performance.now() < end; seed += 1) {
    const random = seeded(seed);
    const whole = seeds[Math.floor(random() * seeds.length)] ?? new Uint8Array();
    const file = mutated(whole, random);
    const bytes = format === 'fit' ? repaired(file, random) : file;
    const began = performance.now();
    result.files += 1;
    try {
      for (const recording of await recordingsOf(bytes, 'mutated')) assertLaw(recording);
      result.read += 1;
    } catch (error) {
      if (!(error instanceof HrError) || error.code !== 'recording_unreadable' || /\n/.test(error.detail) || error.detail === '')
        throw new Error(`${format}, seed ${seed}: ${String(error)}`, { cause: error });
      result.refused += 1;
    }
    result.slowestMs = Math.max(result.slowestMs, performance.now() - began);
    if (result.files % 100 === 0) result.memoryMb = Math.max(result.memoryMb, process.memoryUsage.rss() / 1e6);
  }
  return result;
}

const HEAP_MB = 96;

/** `fuzz` in a process of its own. */
export async function fuzzInProcess(format: Format, limits: { files: number; ms: number }, firstSeed = 1): Promise<FuzzResult> {
  const program = fileURLToPath(new URL('fuzz-process.ts', import.meta.url));
  const args = [
    '--import',
    'tsx',
    `--max-old-space-size=${HEAP_MB}`,
    program,
    format,
    String(limits.files),
    String(limits.ms),
    String(firstSeed),
  ];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  const result: FuzzResult = JSON.parse(stdout);
  return result;
}
