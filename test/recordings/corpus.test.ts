/** Generated files of every kind, and the recordings of this repository, in agreement with an independent decoder (support/oracle.py). */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { readRecordings, recordingsOf } from '../../recordings/read-recordings.ts';
import { pythonWith } from '../support/python-venv.ts';
import { generatedFit, generatedText, type GeneratedFile } from './support/generated-files.ts';
import { activity, FitWriter, T0 } from './support/fit-writer.ts';
import { caseFile } from './support/read.ts';

type Row = [seconds: number, bpm: number | null, rrMs: number[]];

interface Answer {
  name: string;
  rows: Row[];
  error: string | null;
}

const python = await pythonWith('recordings', ['fitdecode==0.11.0']);
if (python === undefined && process.env['CI'] === 'true') throw new Error('fitdecode cannot be installed, and CI is set');
const skip = python === undefined ? 'fitdecode cannot be installed: nothing to compare with' : false;
const oracle = fileURLToPath(new URL('support/oracle.py', import.meta.url));

/** The independent decoder's rows of each file, by name. */
async function decoded(files: readonly GeneratedFile[]): Promise<Map<string, Answer>> {
  const child = spawn(python ?? '', [oracle], { stdio: ['pipe', 'pipe', 'inherit'] });
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  for (const { name, kind, bytes } of files)
    child.stdin.write(`${JSON.stringify({ name, kind, data: Buffer.from(bytes).toString('base64') })}\n`);
  child.stdin.end();
  assert.equal(await ended, 0);
  const answers = Buffer.concat(chunks)
    .toString()
    .trim()
    .split('\n')
    .map((line): Answer => JSON.parse(line));
  return new Map(answers.map((answer) => [answer.name, answer]));
}

/** Our rows, with absolute times; none if the file is refused. */
async function ours({ name, bytes }: GeneratedFile): Promise<{ rows: Row[]; startSeconds: number }> {
  let recordings;
  try {
    recordings = await recordingsOf(bytes, name);
  } catch {
    return { rows: [], startSeconds: 0 };
  }
  assert.equal(recordings.length, 1, name);
  const [recording] = recordings;
  const first = recording?.rows[0]?.offsetSeconds ?? 0;
  return {
    rows: (recording?.rows ?? []).map(({ offsetSeconds, bpm, rrMs }) => [offsetSeconds - first, bpm, rrMs]),
    startSeconds: Date.parse(recording?.startedAt ?? '') / 1000,
  };
}

const FIT_EPOCH = 631_065_600;

/** Asserts agreement in every time, heart rate and interval; returns the number of rows. */
async function agree(file: GeneratedFile, answer: Answer | undefined): Promise<number> {
  const { rows, startSeconds } = await ours(file);
  const expected = answer?.rows ?? [];
  // A row of nothing but a time is the end of a file for one of the two.
  assert.equal(rows.length, expected.length, `${file.name}: rows; ${answer?.error}`);
  const zero = expected[0]?.[0] ?? 0;
  for (const [index, [seconds, bpm, rrMs]] of rows.entries()) {
    const [theirSeconds, theirBpm, theirRrMs] = expected[index] ?? [NaN, NaN, []];
    const what = `${file.name}, row ${index}`;
    assert.ok(Math.abs(seconds - (theirSeconds - zero)) < 2e-6, `${what}: ${seconds} and ${theirSeconds - zero} s`);
    assert.equal(bpm, theirBpm, what);
    assert.equal(rrMs.length, theirRrMs.length, what);
    for (const [at, ms] of rrMs.entries())
      assert.ok(Math.abs(ms - (theirRrMs[at] ?? NaN)) < 1e-6, `${what}: ${ms} and ${theirRrMs[at]} ms`);
  }
  if (rows.length > 0) {
    const theirStart = file.kind === 'fit' ? zero + FIT_EPOCH : zero;
    assert.ok(Math.abs(startSeconds - theirStart) < 0.001, `${file.name}: ${startSeconds} and ${theirStart}`);
  }
  return rows.length;
}

async function agreeOnAll(files: readonly GeneratedFile[], atLeastRows: number): Promise<void> {
  const answers = await decoded(files);
  let rows = 0;
  for (const file of files) rows += await agree(file, answers.get(file.name));
  assert.ok(rows >= atLeastRows, `${rows} rows compared`);
}

const many = (count: number, make: (seed: number) => GeneratedFile): GeneratedFile[] =>
  Array.from({ length: count }, (_, index) => make(index + 1));

describe('agreement with an independent decoder', { skip }, () => {
  test('FIT: headers, chains, byte orders, compressed times, developer fields, intervals, monitoring, stored beats', async () => {
    await agreeOnAll(many(600, generatedFit), 20_000);
  });

  test('FIT: files cut at every byte, as far as the rows go', async () => {
    const wholes: [string, Uint8Array][] = [
      ['plain', activity(12).close()],
      ['big-endian', activity(12, { bigEndian: true, headerSize: 12 }).close()],
      ['compressed', caseFile('fit/compressed.fit')],
      [
        'intervals',
        new FitWriter()
          .fileId()
          .hrv(800, 810)
          .record(T0, 70)
          .hrv(790)
          .record(T0 + 1, 71)
          .hrv(805, 806, 807)
          .record(T0 + 2, 72)
          .close(),
      ],
      ...[3, 8, 21].map((seed): [string, Uint8Array] => [`generated ${seed}`, generatedFit(seed).bytes]),
    ];
    const cuts = wholes.flatMap(([name, whole]) =>
      Array.from({ length: whole.length }, (_, length): GeneratedFile => ({
        name: `${name} cut at ${length}`,
        kind: 'fit',
        bytes: whole.subarray(0, length),
      })),
    );
    await agreeOnAll(cuts, 8000);
  });

  for (const kind of ['csv', 'tcx', 'gpx', 'jsonl'] as const)
    test(`${kind}: generated files`, async () => {
      await agreeOnAll(
        many(150, (seed) => generatedText(kind, seed)),
        3000,
      );
    });

  test('the recordings of this repository as FIT, row by row', async () => {
    const folder = fileURLToPath(new URL('../data/recordings/', import.meta.url));
    const files: GeneratedFile[] = [];
    for (const name of readdirSync(folder)) {
      const [recording] = await readRecordings(path.join(folder, name));
      const writer = new FitWriter({ bigEndian: files.length % 2 === 1 }).fileId();
      for (const { offsetSeconds, bpm, rrMs } of recording?.rows ?? []) {
        for (let at = 0; at < rrMs.length; at += 5) writer.hrv(...rrMs.slice(at, at + 5));
        writer.record(T0 + Math.floor(offsetSeconds), bpm ?? 0xff);
      }
      files.push({ name, kind: 'fit', bytes: writer.close() });
    }
    assert.ok(files.length >= 9, `${files.length} recordings`);
    await agreeOnAll(files, 22_000);
  });
});
