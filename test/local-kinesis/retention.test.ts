import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { GetRecordsCommand, GetShardIteratorCommand, PutRecordsCommand } from '@aws-sdk/client-kinesis';
import fc from 'fast-check';
import { certainlyPassedMs, momentNow, type Moment } from '../../local-kinesis/retention.ts';
import { Store } from '../../local-kinesis/store.ts';
import { startProduct } from '../support/product-process.ts';
import { tempDir } from '../support/temp-dir.ts';
import { clientOf } from '../system/pipeline/support/stream.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const YEAR_MS = 365 * 24 * HOUR_MS;
const START: Moment = { wallMs: Date.parse('2026-11-30T10:00:00Z'), upMs: 100_000, boot: 'first' };

function openStore(file: string): { store: Store; put(text: string): void; texts(): string[] } {
  const store = new Store(file);
  store.open();
  if (!store.hasStream('s')) store.createStream('s', 1);
  const shard = store.openShards(store.stream('s'))[0];
  assert.ok(shard !== undefined);
  return {
    store,
    put: (text) => void store.transaction(() => store.append([{ shard, partitionKey: 'a', data: Buffer.from(text) }])),
    texts: () => store.read(shard, 0, { maxRecords: 10_000, maxBytes: 1e9 }).map(({ data }) => data.toString()),
  };
}

/** Lets time pass in steps of a minute, with a trim after each. */
function pass(store: Store, from: Moment, ms: number): Moment {
  let now = from;
  for (let passed = 0; passed < ms; passed += MINUTE_MS) {
    now = { ...now, wallMs: now.wallMs + MINUTE_MS, upMs: now.upMs + MINUTE_MS };
    store.trim(now);
  }
  return now;
}

test('a record is deleted once it is older than the retention, and not before', (t) => {
  const { store, put, texts } = openStore(path.join(tempDir(t), 'stream.db'));
  t.after(() => store.close());
  store.trim(START);
  put('old');
  let now = pass(store, START, 2 * HOUR_MS);
  put('young');
  now = pass(store, now, 22 * HOUR_MS);
  assert.deepEqual(texts(), ['old', 'young']);
  now = pass(store, now, 11 * MINUTE_MS);
  assert.deepEqual(texts(), ['young']);
  pass(store, now, 2 * HOUR_MS);
  assert.deepEqual(texts(), []);
});

test('a clock that jumps years ahead deletes nothing, running or stopped, and what it dated ahead is deleted in time', (t) => {
  const file = path.join(tempDir(t), 'stream.db');
  let { store, put, texts } = openStore(file);
  store.trim(START);
  put('before');
  let now = pass(store, START, HOUR_MS);
  now = { ...now, wallMs: now.wallMs + 10 * YEAR_MS };
  store.trim(now);
  put('while it is ahead');
  now = pass(store, now, HOUR_MS);
  assert.deepEqual(texts(), ['before', 'while it is ahead']);
  store.close();
  now = { wallMs: now.wallMs + YEAR_MS, upMs: now.upMs + MINUTE_MS, boot: 'first' };
  ({ store, put, texts } = openStore(file));
  store.trim(now);
  assert.deepEqual(texts(), ['before', 'while it is ahead']);
  store.close();
  // After a reboot, with the right time again.
  now = { wallMs: START.wallMs + 3 * HOUR_MS, upMs: 30_000, boot: 'second' };
  ({ store, put, texts } = openStore(file));
  t.after(() => store.close());
  now = pass(store, now, 20 * HOUR_MS);
  assert.deepEqual(texts(), ['before', 'while it is ahead']);
  pass(store, now, 5 * HOUR_MS);
  assert.deepEqual(texts(), []);
});

test('no record younger than the retention is deleted, whatever the wall clock and restarts do', (t) => {
  const step = fc.record({
    passMs: fc.integer({ min: 0, max: 10 * HOUR_MS }),
    jumpMs: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.integer({ min: -2 * YEAR_MS, max: 20 * YEAR_MS })),
    restart: fc.constantFrom('no', 'process', 'boot'),
    put: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
      const file = path.join(tempDir(t), 'stream.db');
      let stream = openStore(file);
      let now = START;
      let trueMs = 0;
      let boots = 0;
      const putAt = new Map<string, number>();
      stream.store.trim(now);
      for (const { passMs, jumpMs, restart, put } of steps) {
        if (put) {
          const text = `r${putAt.size}`;
          putAt.set(text, trueMs);
          stream.put(text);
        }
        if (restart !== 'no') stream.store.close();
        trueMs += passMs;
        now = { ...now, wallMs: now.wallMs + passMs + jumpMs, upMs: now.upMs + passMs };
        if (restart === 'boot') now = { ...now, upMs: Math.floor(passMs / 2), boot: `boot ${(boots += 1)}` };
        if (restart !== 'no') stream = openStore(file);
        stream.store.trim(now);
        const left = new Set(stream.texts());
        for (const [text, atMs] of putAt)
          assert.ok(left.has(text) || trueMs - atMs >= 24 * HOUR_MS, `${text} was deleted after ${(trueMs - atMs) / HOUR_MS} h`);
      }
      stream.store.close();
    }),
    { numRuns: 60 },
  );
});

test('the smaller of what both clocks advanced has certainly passed: neither alone ages a record', () => {
  const from = { wallMs: 1_000_000, upMs: 50_000, boot: 'one' };
  const passed = (wallMs: number, upMs: number): number =>
    certainlyPassedMs(from, { wallMs: from.wallMs + wallMs, upMs: from.upMs + upMs, boot: 'one' });
  assert.equal(passed(86_400_000, 2000), 2000, 'the wall clock jumped ahead');
  assert.equal(passed(2000, 86_400_000), 2000, 'the wall clock was set back meanwhile');
  assert.equal(passed(-5000, 86_400_000), 0, 'the wall clock is behind');
  assert.equal(certainlyPassedMs(from, { wallMs: from.wallMs + 9000, upMs: 4000, boot: 'two' }), 4000, 'after a reboot');
  assert.equal(
    certainlyPassedMs(from, { wallMs: from.wallMs + 3000, upMs: 4000, boot: 'two' }),
    3000,
    'after a reboot, wall behind',
  );
});

test('time that has certainly passed is never negative, and nothing without an identity of the boot', () => {
  const now = momentNow();
  assert.equal(certainlyPassedMs(now, { ...now, wallMs: now.wallMs - 1000 }), 0);
  assert.equal(certainlyPassedMs({ ...now, boot: '' }, { ...now, boot: '', wallMs: now.wallMs + 9, upMs: now.upMs + 9 }), 0);
  assert.ok(now.boot !== '' && now.upMs > 0);
});

test('a local stream that is started with a clock ten years ahead still has its records', async (t) => {
  const dataDir = tempDir(t);
  const preload = fileURLToPath(new URL('support/offset-clock.cjs', import.meta.url));
  const run = async (offsetMs: number, put: boolean): Promise<{ texts: string[]; arrived: number }> => {
    const service = startProduct(
      t,
      'local-kinesis/main',
      { DATA_DIR: dataDir, LOCAL_KINESIS_PORT: '0', HR_TEST_CLOCK_OFFSET_MS: String(offsetMs) },
      { nodeArgs: ['--require', preload] },
    );
    const client = clientOf(`http://127.0.0.1:${String((await service.event('listening'))['port'])}`);
    const StreamName = 'hr-data-stream';
    if (put)
      await client.send(
        new PutRecordsCommand({ StreamName, Records: [{ Data: Buffer.from(String(offsetMs)), PartitionKey: 'a' }] }),
      );
    const { ShardIterator } = await client.send(
      new GetShardIteratorCommand({ StreamName, ShardId: 'shardId-000000000000', ShardIteratorType: 'TRIM_HORIZON' }),
    );
    const { Records = [] } = await client.send(new GetRecordsCommand({ ShardIterator }));
    client.destroy();
    await service.end();
    return {
      texts: Records.map(({ Data }) => Buffer.from(Data ?? []).toString()),
      arrived: Records.at(-1)?.ApproximateArrivalTimestamp?.getTime() ?? 0,
    };
  };
  assert.deepEqual((await run(0, true)).texts, ['0']);
  const { texts, arrived } = await run(10 * YEAR_MS, true);
  assert.deepEqual(texts, ['0', String(10 * YEAR_MS)]);
  assert.ok(arrived > Date.now() + 9 * YEAR_MS, 'the clock of the stream thread is shifted');
  assert.deepEqual((await run(20 * YEAR_MS, false)).texts, texts);
});
