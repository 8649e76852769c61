import assert from 'node:assert/strict';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import {
  GetRecordsCommand,
  GetShardIteratorCommand,
  ListShardsCommand,
  PutRecordsCommand,
  SplitShardCommand,
} from '@aws-sdk/client-kinesis';
import fc from 'fast-check';
import { selectShards, type ShardFilter } from '../../local-kinesis/shard-filter.ts';
import { MAX_HASH_KEY, shardIdOf, type ShardRow } from '../../local-kinesis/shards.ts';
import { Store } from '../../local-kinesis/store.ts';
import { openDatabase } from '../../service/storage/sqlite.ts';
import { startLocalStream } from '../support/local-stream.ts';
import { tempDir } from '../support/temp-dir.ts';

function openStore(t: Pick<TestContext, 'after'>, file = path.join(tempDir(t), 'stream.db')): { store: Store; file: string } {
  const store = new Store(file);
  store.open();
  t.after(() => store.close());
  return { store, file };
}

const byStart = (a: ShardRow, b: ShardRow): number => (a.start_hash < b.start_hash ? -1 : 1);

/** Fails unless the shards cover each hash key exactly once. */
function checkCover(shards: readonly ShardRow[], when: string): void {
  let next = 0n;
  for (const shard of [...shards].sort(byStart)) {
    assert.equal(shard.start_hash, next, `${when}: ${shardIdOf(shard.number)} begins where the previous one ends`);
    next = shard.end_hash + 1n;
  }
  assert.equal(next, MAX_HASH_KEY + 1n, `${when}: the last shard ends at the last hash key`);
}

/** Fails unless each shard's parents are complete: they cover its range, and their children cover theirs. */
function checkLineage(shards: readonly ShardRow[]): void {
  const named = new Map(shards.map((shard) => [shard.number, shard]));
  for (const shard of shards) {
    const parents = [shard.parent, shard.adjacent_parent].flatMap((number) => (number === null ? [] : [named.get(number)]));
    for (const parent of parents) {
      assert.ok(parent !== undefined && parent.last_id !== null, `a parent of ${shard.number} is there and closed`);
      assert.ok(parent.last_id < shard.first_id, 'a child begins after its parents');
      assert.ok((parent.closed_ms ?? Infinity) < shard.created_ms, 'a child is opened after its parents were closed');
    }
    if (parents.length === 2) {
      const [low, high] = parents.flatMap((parent) => parent ?? []).sort(byStart);
      assert.deepEqual([low?.start_hash, high?.end_hash], [shard.start_hash, shard.end_hash]);
    }
    const children = shards.filter(({ parent, adjacent_parent }) => parent === shard.number || adjacent_parent === shard.number);
    assert.equal(children.length > 0, shard.last_id !== null, 'a closed shard has children, an open one none');
    if (parents.length === 1) {
      const siblings = shards
        .filter(({ parent, adjacent_parent }) => parent === shard.parent && adjacent_parent === null)
        .sort(byStart);
      assert.deepEqual([siblings[0]?.start_hash, siblings.at(-1)?.end_hash], [parents[0]?.start_hash, parents[0]?.end_hash]);
    }
  }
}

function checkAll(store: Store): void {
  const stream = store.stream('s');
  const shards = store.shards(stream);
  checkCover(store.openShards(stream), 'now');
  checkLineage(shards);
  const ids = new Set(shards.flatMap(({ first_id, last_id }) => [first_id, last_id ?? first_id]));
  for (const id of ids) checkCover(selectShards(shards, { Type: 'AT_TRIM_HORIZON' }, id), `at record id ${id}`);
  const instants = new Set(shards.flatMap(({ created_ms, closed_ms }) => [created_ms - 1, created_ms, closed_ms ?? created_ms]));
  for (const Timestamp of instants) checkCover(selectShards(shards, { Type: 'AT_TIMESTAMP', Timestamp }, 0), `at ${Timestamp}`);
}

test('however a stream is resharded, its shards cover each hash key once at every moment, and their parents are complete', (t) => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('split' as const), pick: fc.nat(), at: fc.bigInt(1n, MAX_HASH_KEY) }),
    fc.record({ kind: fc.constant('merge' as const), pick: fc.nat() }),
    fc.record({ kind: fc.constant('scale' as const), share: fc.double({ min: 0.5, max: 2, noNaN: true }) }),
    fc.record({ kind: fc.constant('restart' as const) }),
    fc.record({ kind: fc.constant('put' as const) }),
  );
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 7 }), fc.array(step, { maxLength: 8 }), (count, steps) => {
      const { store } = openStore(t);
      store.createStream('s', count);
      for (const one of steps) {
        const stream = store.stream('s');
        const open = store.openShards(stream).sort(byStart);
        const picked = open['pick' in one ? one.pick % open.length : 0];
        assert.ok(picked !== undefined, 'a shard is open');
        if (one.kind === 'split' && one.at > picked.start_hash + 1n && one.at < picked.end_hash)
          store.splitShard(stream, picked, one.at);
        const next = open.find(({ start_hash }) => start_hash === picked.end_hash + 1n);
        if (one.kind === 'merge' && next !== undefined) store.mergeShards(stream, next, picked);
        if (one.kind === 'scale') {
          const target = Math.min(12, Math.max(Math.ceil(open.length / 2), Math.floor(open.length * one.share)));
          store.scale(stream, target);
          const sizes = store.openShards(stream).map(({ start_hash, end_hash }) => end_hash - start_hash + 1n);
          assert.equal(sizes.length, target);
          assert.ok(
            sizes.every((size) => size - (MAX_HASH_KEY + 1n) / BigInt(target) < BigInt(target)),
            'all shards are of equal size',
          );
        }
        if (one.kind === 'put')
          store.transaction(() => store.append([{ shard: picked, partitionKey: 'a', data: Buffer.from('x') }]));
        const before = store.shards(stream);
        if (one.kind === 'restart') {
          store.close();
          store.open();
          assert.deepEqual(store.shards(store.stream('s')), before);
        }
        checkAll(store);
      }
      store.close();
    }),
    { numRuns: 60 },
  );
});

test('shards that have their range already stay open when a stream is scaled', (t) => {
  const { store } = openStore(t);
  store.createStream('s', 2);
  const stream = store.stream('s');
  const [low, high] = store.openShards(stream);
  assert.ok(low !== undefined && high !== undefined, 'two shards');
  store.splitShard(stream, low, low.end_hash / 2n);
  store.scale(stream, 2);
  assert.equal(high.last_id, null);
  checkAll(store);
});

test('what is put after a split and a restart is read from the first record of the new shards on', (t) => {
  const { store } = openStore(t);
  store.createStream('s', 1);
  const [shard] = store.openShards(store.stream('s'));
  assert.ok(shard !== undefined, 'one shard');
  store.splitShard(store.stream('s'), shard, 2n ** 127n);
  store.close();
  store.open();
  const [child] = store.openShards(store.stream('s'));
  assert.ok(child !== undefined, 'a child');
  store.transaction(() => store.append([{ shard: child, partitionKey: 'a', data: Buffer.from('x') }]));
  assert.equal(store.read(child, child.first_id, { maxRecords: 10, maxBytes: 1000 }).length, 1);
});

test('a change of shards that fails changes nothing', (t) => {
  const { store, file } = openStore(t);
  store.createStream('s', 3);
  const before = structuredClone(store.shards(store.stream('s')));
  const other = openDatabase(file);
  other.exec(`CREATE TRIGGER full BEFORE INSERT ON shards WHEN NEW.number = 4 BEGIN SELECT RAISE(ABORT, 'no space'); END`);
  assert.throws(() => store.scale(store.stream('s'), 2), /no space/);
  other.exec('DROP TRIGGER full');
  other.close();
  assert.deepEqual(store.shards(store.stream('s')), before);
  store.scale(store.stream('s'), 2);
  checkAll(store);
});

test('a file of version 1.0, with a stream that was resharded, is understood', (t) => {
  const { store, file } = openStore(t);
  store.createStream('s', 2);
  store.scale(store.stream('s'), 4);
  store.close();
  const old = openDatabase(file);
  old.exec('ALTER TABLE shards DROP COLUMN created_ms; ALTER TABLE shards DROP COLUMN closed_ms; UPDATE counter SET next_id = 1');
  old.close();
  store.open();
  checkAll(store);
  const [shard] = store.openShards(store.stream('s'));
  assert.ok(shard !== undefined && store.nextId >= shard.first_id, 'record ids go on after those of the shards');
});

test('each type of ShardFilter selects its shards', (t) => {
  const { store } = openStore(t);
  store.createStream('s', 1);
  const stream = store.stream('s');
  const [first] = store.openShards(stream);
  assert.ok(first !== undefined, 'one shard');
  store.splitShard(stream, first, 2n ** 127n);
  store.scale(stream, 1);
  const shards = store.shards(stream);
  const numbers = (filter: ShardFilter, horizonId = 0): number[] =>
    selectShards(shards, filter, horizonId).map(({ number }) => number);
  const [, , , merged] = shards;
  assert.ok(merged !== undefined && first.closed_ms !== null, 'a split, then a merge');
  assert.deepEqual(numbers({ Type: 'FROM_TRIM_HORIZON' }), [0, 1, 2, 3]);
  assert.deepEqual(numbers({ Type: 'AT_LATEST' }), [3]);
  assert.deepEqual(numbers({ Type: 'AFTER_SHARD_ID', ShardId: shardIdOf(1) }), [2, 3]);
  assert.deepEqual(numbers({ Type: 'AT_TRIM_HORIZON' }), [0]);
  assert.deepEqual(numbers({ Type: 'AT_TRIM_HORIZON' }, merged.first_id - 1), [1, 2]);
  assert.deepEqual(numbers({ Type: 'AT_TRIM_HORIZON' }, merged.first_id + 100), [3]);
  assert.deepEqual(numbers({ Type: 'AT_TIMESTAMP', Timestamp: 0 }), [0]);
  assert.deepEqual(numbers({ Type: 'AT_TIMESTAMP', Timestamp: first.closed_ms }), [0]);
  assert.deepEqual(numbers({ Type: 'AT_TIMESTAMP', Timestamp: first.closed_ms + 1 }), [1, 2]);
  assert.deepEqual(numbers({ Type: 'AT_TIMESTAMP', Timestamp: merged.created_ms + 5 }), [3]);
  assert.deepEqual(numbers({ Type: 'FROM_TIMESTAMP', Timestamp: 0 }), [0, 1, 2, 3]);
  assert.deepEqual(numbers({ Type: 'FROM_TIMESTAMP', Timestamp: first.closed_ms + 1 }), [1, 2, 3]);
  assert.deepEqual(numbers({ Type: 'FROM_TIMESTAMP', Timestamp: merged.created_ms }), [3]);
});

test('expired closed shards are no longer listed; their children and records are', (t) => {
  const { store } = openStore(t);
  store.createStream('s', 1);
  let now = { wallMs: Date.now(), upMs: 1000, boot: 'b' };
  const pass = (minutes: number): void => {
    for (let passed = 0; passed < minutes; passed += 1) {
      now = { ...now, wallMs: now.wallMs + 60_000, upMs: now.upMs + 60_000 };
      store.trim(now);
    }
  };
  const stream = store.stream('s');
  store.trim(now);
  const [first] = store.openShards(stream);
  assert.ok(first !== undefined, 'one shard');
  store.transaction(() => store.append([{ shard: first, partitionKey: 'a', data: Buffer.from('x') }]));
  store.splitShard(stream, first, 2n ** 127n);
  pass(23 * 60);
  assert.equal(store.shards(stream).length, 3);
  pass(90);
  assert.deepEqual(
    store.shards(stream).map(({ number }) => number),
    [1, 2],
  );
  assert.throws(() => store.shard(stream, shardIdOf(0)), /does not exist/);
  checkCover(selectShards(store.shards(stream), { Type: 'AT_TRIM_HORIZON' }, store.horizonId(stream)), 'at the trim horizon');
  store.scale(stream, 1);
  assert.equal(store.openShards(stream)[0]?.number, 3);
});

test('a record that is put while its shard is split is read, whichever shard it went to', async (t) => {
  const { client } = await startLocalStream(t, { LOCAL_KINESIS_LIMITS: 'false' });
  const StreamName = 'hr-data-stream';
  let put = 0;
  for (let round = 0; round < 6; round += 1) {
    const open = ((await client.send(new ListShardsCommand({ StreamName, ShardFilter: { Type: 'AT_LATEST' } }))).Shards ?? [])[0];
    const start = BigInt(open?.HashKeyRange?.StartingHashKey ?? 0);
    const middle = (start + BigInt(open?.HashKeyRange?.EndingHashKey ?? 0)) / 2n;
    const Records = Array.from({ length: 100 }, (_, index) => ({
      Data: Buffer.from(`${round}-${index}`),
      PartitionKey: String(index),
    }));
    const puts = Array.from({ length: 20 }, async () => await client.send(new PutRecordsCommand({ StreamName, Records })));
    await Promise.all([
      ...puts,
      client.send(new SplitShardCommand({ StreamName, ShardToSplit: open?.ShardId, NewStartingHashKey: middle.toString() })),
    ]);
    put += 2000;
  }
  let read = 0;
  for (const { ShardId, SequenceNumberRange } of (await client.send(new ListShardsCommand({ StreamName }))).Shards ?? []) {
    let { ShardIterator } = await client.send(
      new GetShardIteratorCommand({ StreamName, ShardId, ShardIteratorType: 'TRIM_HORIZON' }),
    );
    while (ShardIterator !== undefined) {
      const { Records = [], NextShardIterator } = await client.send(new GetRecordsCommand({ ShardIterator }));
      const last = BigInt(SequenceNumberRange?.EndingSequenceNumber ?? 2n ** 255n);
      assert.ok(
        Records.every(({ SequenceNumber }) => BigInt(SequenceNumber ?? 0) <= last),
        'no record is beyond the end of its shard',
      );
      read += Records.length;
      ShardIterator = Records.length === 0 ? undefined : NextShardIterator;
    }
  }
  assert.equal(read, put);
});
