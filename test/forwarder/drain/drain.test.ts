import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  MergeShardsCommand,
  SplitShardCommand,
  UpdateMaxRecordSizeCommand,
  UpdateShardCountCommand,
  DescribeStreamSummaryCommand,
} from '@aws-sdk/client-kinesis';
import { eventually } from '../../support/eventually.ts';
import { sharedStream } from '../../support/local-stream.ts';
import { assertOrderOfDevices, failedRecords, startDrain } from './support/drain-bench.ts';

const unlimited = sharedStream();
const limited = sharedStream({ LOCAL_KINESIS_LIMITS: 'true' });

test('a reading is sent at once, each row is in the stream once, and the ledger balances', async (t) => {
  const bench = await startDrain(t, await unlimited(), { shards: 10 });
  bench.add(1);
  await bench.settled(1);
  bench.add(1500, 5);
  await bench.settled(1501);
  const seqs = (await bench.read()).map(({ seq }) => seq);
  assert.deepEqual(
    [...seqs].sort((a, b) => a - b),
    Array.from({ length: 1501 }, (_, index) => index + 1),
  );
  assert.equal(bench.drain.uplink.current.state, 'ok');
  assert.equal(bench.drain.metrics.recordsSent, 1501);
});

test('readings that arrive during a request are sent together in the next one', async (t) => {
  const bench = await startDrain(t, await unlimited());
  await bench.faults({ latencyMs: 300 });
  bench.add(1);
  await eventually(() => bench.drain.underWay === 1);
  for (let i = 0; i < 40; i += 1) bench.add(1);
  await bench.settled(41);
  assert.ok(bench.drain.metrics.requests <= 3, String(bench.drain.metrics.requests));
});

test('with KINESIS_LINGER_MS readings are collected into fewer requests', async (t) => {
  const bench = await startDrain(t, await unlimited(), {
    environment: { KINESIS_LINGER_MS: '1000', QUEUE_COMMIT_INTERVAL_MS: '0' },
  });
  for (let i = 0; i < 5; i += 1) {
    bench.add(1);
    await eventually(() => bench.queue.state.ledger.accepted === i + 1);
  }
  await bench.settled(5);
  assert.equal(bench.drain.metrics.requests, 1);
});

test('a backlog is paced to the open shards, also after split, merge and UpdateShardCount: sent ÷ needed ≤ 1.05', async (t) => {
  const bench = await startDrain(t, await limited());
  const { client } = bench.stream;
  const StreamName = bench.streamName;
  let rows = 0;
  const more = async (count: number): Promise<void> => {
    bench.add(count, 200);
    await bench.settled((rows += count));
  };
  const shardsAre = async (open: number): Promise<void> => {
    await more(50);
    await eventually(() => bench.drain.openShards === open, { what: `${open} shards, not ${bench.drain.openShards}` });
  };
  await more(1200);
  await client.send(
    new SplitShardCommand({ StreamName, ShardToSplit: 'shardId-000000000000', NewStartingHashKey: (2n ** 127n).toString() }),
  );
  await shardsAre(2);
  await client.send(
    new MergeShardsCommand({ StreamName, ShardToMerge: 'shardId-000000000001', AdjacentShardToMerge: 'shardId-000000000002' }),
  );
  await shardsAre(1);
  await client.send(new UpdateShardCountCommand({ StreamName, TargetShardCount: 2, ScalingType: 'UNIFORM_SCALING' }));
  await shardsAre(2);
  await more(2000);
  assert.ok(bench.drain.metrics.recordsSent / rows <= 1.05, `${bench.drain.metrics.recordsSent} of ${rows}`);
});

test('a hot shard lowers the rate: one key on two shards is sent at most 1.25 times', async (t) => {
  const bench = await startDrain(t, await limited(), { shards: 2 });
  bench.add(1);
  await eventually(() => bench.drain.openShards === 2);
  // Requests that are in flight together at the start may send as many as both shards take in a second: 900 too many.
  bench.add(5000, 1);
  await bench.settled(5001);
  assert.ok(bench.drain.metrics.recordsSent / 5000 <= 1.25, String(bench.drain.metrics.recordsSent));
});

test('large readings are paced by their bytes', async (t) => {
  const bench = await startDrain(t, await limited());
  bench.add(1000, 5, 'x'.repeat(2000));
  await bench.settled(1000);
  assert.ok(bench.drain.metrics.recordsSent / 1000 <= 1.05, String(bench.drain.metrics.recordsSent));
});

test("a reading larger than the stream's own limit, key included, becomes a dead letter", async (t) => {
  const bench = await startDrain(t, await unlimited());
  const summary = await bench.stream.client.send(new DescribeStreamSummaryCommand({ StreamName: bench.streamName }));
  await bench.stream.client.send(
    new UpdateMaxRecordSizeCommand({ StreamARN: summary.StreamDescriptionSummary?.StreamARN, MaxRecordSizeInKiB: 10_240 }),
  );
  const restarted = await startDrain(t, bench.stream, { elsewhere: { KINESIS_STREAM: bench.streamName } });
  await eventually(() => restarted.drain.openShards === 1);
  restarted.add(1, 1, 'x'.repeat(6_000_000));
  restarted.add(1, 1, 'x'.repeat(10 * 1024 * 1024));
  restarted.add(1);
  await restarted.settled(3);
  assert.equal(restarted.queue.state.causes.dead['record_too_large'], 1);
  assert.deepEqual(
    (await bench.read()).map(({ seq }) => seq).sort((a, b) => a - b),
    [1, 3],
  );
});

test('after a partial failure only the failed records are sent again', async (t) => {
  const bench = await startDrain(t, await unlimited(), { shards: 5 });
  await bench.faults({ recordFailureRate: 0.2, seed: 7 });
  bench.add(400, 10);
  await bench.settled(400);
  const seqs = (await bench.read()).map(({ seq }) => seq);
  assert.equal(seqs.length, 400, 'none twice');
  assert.equal(new Set(seqs).size, 400);
  assert.equal(bench.drain.metrics.recordsSent, 400 + failedRecords(bench.drain));
});

test('simulated and replayed readings are not sent to a target that is not local, and count as evicted', async (t) => {
  const bench = await startDrain(t, await unlimited(), { elsewhere: { KINESIS_TARGET: 'http://127.0.0.1:1' } });
  bench.queue.append({
    rows: { data: ['{"seq":1}', '{"seq":2}'], devices: ['a', 'a'], sources: [1, 2] },
    dead: [],
    watermarks: [],
  });
  await eventually(() => bench.queue.state.causes.evicted['test_reading'] === 2);
});

test('aggregated: strict order per device under faults, each once, and fewer records', async (t) => {
  const bench = await startDrain(t, await unlimited(), {
    shards: 3,
    environment: { KINESIS_MODE: 'aggregated' },
    aggregateBytes: 4096,
  });
  await bench.faults({ recordFailureRate: 0.2, request: 'status503', requestRate: 0.1, seed: 3 });
  bench.add(3000, 7);
  await bench.settled(3000);
  const readings = await bench.read();
  assertOrderOfDevices(readings);
  assert.equal(readings.length, 3000);
  assert.ok(bench.drain.metrics.recordsSent < 200, String(bench.drain.metrics.recordsSent));
});
