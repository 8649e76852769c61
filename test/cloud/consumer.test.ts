import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { unzipSync } from 'fflate';
import { bundleConsumer } from '../../cloud/consumer/bundle.ts';
import type { ReadingOrigin } from '../../cloud/consumer/on-reading.ts';
import type { IncomingReading } from '../../contract/reading.ts';
import { aggregate } from '../../forwarder/drain/aggregation.ts';
import { tempDir } from '../support/temp-dir.ts';
import { lambdaRecord, runMapping, sequenceNumberAt, type Handler } from './support/lambda.ts';

/** A reading without heart rate and seq. */
const READING = {
  timestamp: '2026-11-22T19:00:00.123Z',
  device: 'polar-h10-a1b2c3',
  gateway: 'front-desk',
  run: '3f9a1c2e00b7d415',
  rr_intervals_ms: [812.5, 830.1],
  sensor_contact: true,
  energy_expended_kj: null,
  clock: 'synced',
};

const run = promisify(execFile);
const DEVICE = 'polar-h10-a1b2c3';
const readingOf = (seq: number, more: object = {}): Buffer =>
  Buffer.from(`${JSON.stringify({ ...READING, heart_rate: 60 + seq, seq, ...more })}\n`);
const plain = (index: number, data: Buffer | string): ReturnType<typeof lambdaRecord> =>
  lambdaRecord(index, DEVICE, Buffer.from(data));

interface Taken {
  reading: IncomingReading;
  origin: ReadingOrigin;
}

/** The handler of the bundled file, with an onReading that collects readings, and throws for those that `fails` selects. */
async function bundled(
  t: TestContext,
  fails: (reading: IncomingReading) => boolean = () => false,
): Promise<{ handler: Handler; taken: Taken[]; seqs: () => (number | undefined)[] }> {
  const folder = tempDir(t);
  const own = path.join(folder, 'own.ts');
  const name = `onReading of ${folder}`;
  writeFileSync(
    own,
    'export const onReading = async (reading: object, origin: object) => ' +
      `await (globalThis as never as Record<string, Function>)[${JSON.stringify(name)}](reading, origin);`,
  );
  const { file } = await bundleConsumer(path.join(folder, 'bundle'), { onReading: own });
  const taken: Taken[] = [];
  Object.assign(globalThis, {
    [name]: async (reading: IncomingReading, origin: ReadingOrigin) => {
      if (fails(reading)) throw new Error('the database is away');
      taken.push({ reading, origin });
    },
  });
  const { handler } = (await import(pathToFileURL(file).href)) as { handler: Handler };
  // The log names the failed record.
  t.mock.method(console, 'error', () => undefined);
  return { handler, taken, seqs: () => taken.map(({ reading }) => reading.seq) };
}

test('plain and aggregated readings reach the function in the order of the shard, with their origin', async (t) => {
  const { handler, taken, seqs } = await bundled(t);
  const answer = await handler({
    Records: [
      plain(0, readingOf(1)),
      lambdaRecord(
        1,
        DEVICE,
        aggregate(
          DEVICE,
          [2, 3, 4].map((seq) => readingOf(seq)),
        ),
      ),
      plain(2, readingOf(5)),
    ],
  });
  assert.deepEqual(answer, { batchItemFailures: [] });
  assert.deepEqual(seqs(), [1, 2, 3, 4, 5]);
  assert.deepEqual(taken[2]?.origin, {
    shardId: 'shardId-000000000006',
    sequenceNumber: sequenceNumberAt(1),
    index: 1,
    partitionKey: DEVICE,
    arrivedAt: new Date(1545084650987),
  });
  assert.deepEqual(taken[0]?.reading, JSON.parse(readingOf(1).toString()));
});

test('a repeated reading, plain or aggregated, reaches the function once; gateway, run and seq identify it', async (t) => {
  const { handler, taken } = await bundled(t);
  const records = [
    readingOf(1),
    readingOf(1),
    aggregate(DEVICE, [readingOf(1), readingOf(2), readingOf(2)]),
    readingOf(1, { run: 'ffffffffffffffff' }),
    readingOf(1, { gateway: 'back-door' }),
    readingOf(2),
  ];
  assert.deepEqual(await handler({ Records: records.map((data, index) => plain(index, data)) }), { batchItemFailures: [] });
  assert.deepEqual(
    taken.map(({ reading: { gateway, run: of, seq } }) => `${gateway} ${of} ${seq}`),
    [
      'front-desk 3f9a1c2e00b7d415 1',
      'front-desk 3f9a1c2e00b7d415 2',
      'front-desk ffffffffffffffff 1',
      'back-door 3f9a1c2e00b7d415 1',
    ],
  );
});

test("records of the old script, with two fields only, are never treated as repeated, and Python's formats of UTC are read", async (t) => {
  const { handler, taken } = await bundled(t);
  const old = [
    '2026-11-22T19:00:00.123Z',
    '2026-11-22T19:00:00.123Z',
    '2026-11-22T19:00:01.123456+00:00',
    '2026-11-22T19:00:02.5',
    '2026-11-22T21:00:03+02:00',
  ];
  assert.deepEqual(
    await handler({ Records: old.map((timestamp, index) => plain(index, JSON.stringify({ timestamp, heart_rate: 72 }))) }),
    { batchItemFailures: [] },
  );
  assert.deepEqual(
    taken.map(({ reading }) => reading),
    [
      '2026-11-22T19:00:00.123Z',
      '2026-11-22T19:00:00.123Z',
      '2026-11-22T19:00:01.123Z',
      '2026-11-22T19:00:02.500Z',
      '2026-11-22T19:00:03.000Z',
    ].map((timestamp) => ({ timestamp, heart_rate: 72 })),
  );
});

test('the first record that is malformed or makes the function throw is named, and nothing after it is processed', async (t) => {
  const { handler, taken, seqs } = await bundled(t, ({ heart_rate }) => heart_rate === 200);
  const broken = aggregate(DEVICE, [readingOf(7), readingOf(8)]);
  broken.writeUInt8(broken.readUInt8(broken.length - 1) ^ 1, broken.length - 1);
  const poison: Record<string, Buffer | string> = {
    'not JSON': 'Hello, this is a test.',
    'no heart rate': '{"timestamp":"2026-11-22T19:00:00.123Z"}',
    'heart rate 0': '{"timestamp":"2026-11-22T19:00:00.123Z","heart_rate":0}',
    'no time': '{"timestamp":"yesterday","heart_rate":72}',
    'an aggregate with a wrong checksum': broken,
    'an aggregate with one that is malformed': aggregate(DEVICE, [readingOf(7), Buffer.from('{}')]),
    'the function throws': readingOf(9, { heart_rate: 200 }),
  };
  for (const [what, data] of Object.entries(poison)) {
    taken.length = 0;
    const answer = await handler({
      Records: [plain(0, readingOf(1)), plain(1, readingOf(2)), plain(2, data), plain(3, readingOf(3)), plain(4, data)],
    });
    assert.deepEqual(answer, { batchItemFailures: [{ itemIdentifier: sequenceNumberAt(2) }] }, what);
    assert.deepEqual(seqs(), [1, 2], what);
  }
});

test("under Lambda's rules only a poison record goes to the on-failure queue; all others are processed once, in order", async (t) => {
  let away = 3;
  const { handler, seqs } = await bundled(t, ({ seq }) => seq === 40 && (away -= 1) >= 0);
  const records = Array.from({ length: 100 }, (_, index) => plain(index, index === 70 ? 'poison' : readingOf(index + 1)));
  assert.deepEqual(await runMapping(handler, records, 5), [sequenceNumberAt(70)]);
  assert.deepEqual(
    seqs(),
    records.map((_, index) => index + 1).filter((seq) => seq !== 71),
  );
});

test("your own function may use CommonJS packages that require Node's modules", async (t) => {
  const folder = tempDir(t);
  writeFileSync(
    path.join(folder, 'package.cjs'),
    `const os = require('os'); module.exports = { line: (reading) => reading.device + os.EOL };`,
  );
  const own = path.join(folder, 'own.mjs');
  writeFileSync(
    own,
    `import { line } from './package.cjs'; export const onReading = async (reading) => void process.stdout.write(line(reading));`,
  );
  const { file } = await bundleConsumer(path.join(folder, 'bundle'), { onReading: own });
  const event = JSON.stringify({ Records: [plain(0, readingOf(1))] });
  const { stdout } = await run(process.execPath, [
    '--input-type=module',
    '-e',
    `import { handler } from ${JSON.stringify(pathToFileURL(file).href)}; await handler(${event});`,
  ]);
  assert.equal(stdout, `${DEVICE}\n`);
});

test("the zip holds one file that imports only Node's own modules, and runs with the default function", async (t) => {
  const folder = tempDir(t);
  const { zip } = await bundleConsumer(folder);
  const files = unzipSync(readFileSync(zip));
  assert.deepEqual(Object.keys(files), ['index.mjs']);
  const code = Buffer.from(files['index.mjs'] ?? []).toString();
  const imports = [...code.matchAll(/^import .* from "(.+)";$/gm)].map((match) => match[1] ?? '');
  assert.deepEqual(
    imports.filter((name) => !isBuiltin(name)),
    [],
  );
  const alone = path.join(tempDir(t), 'index.mjs');
  writeFileSync(alone, code);
  const event = JSON.stringify({ Records: [plain(0, readingOf(1)), plain(1, 'poison')] });
  const { stdout, stderr } = await run(process.execPath, [
    '--input-type=module',
    '-e',
    `import { handler } from ${JSON.stringify(pathToFileURL(alone).href)}; console.log(JSON.stringify(await handler(${event})));`,
  ]);
  const [reading, answer] = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  assert.equal(reading?.['seq'], 1);
  assert.deepEqual(answer, { batchItemFailures: [{ itemIdentifier: sequenceNumberAt(1) }] });
  assert.deepEqual(JSON.parse(stderr), {
    event: 'record_failed',
    shard_id: 'shardId-000000000006',
    sequence_number: sequenceNumberAt(1),
    error: 'MalformedRecord',
    reason: 'not JSON',
  });
});
