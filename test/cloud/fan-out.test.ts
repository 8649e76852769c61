import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  MergeShardsCommand,
  PutRecordCommand,
  PutRecordsCommand,
  SplitShardCommand,
  type KinesisClient,
} from '@aws-sdk/client-kinesis';
import { readStream, type Checkpoint } from '../../cloud/reader/read-stream.ts';
import { aggregate } from '../../forwarder/drain/aggregation.ts';
import { startFanOutStream } from './support/fan-out-stream.ts';

const READING = { timestamp: '2026-11-22T19:00:00.123Z', gateway: 'test-box', run: '3f9a1c2e00b7d415' };

const StreamName = 'hr-data-stream';
const HALF = (2n ** 127n).toString();
const DEVICES = ['polar-h10-a1b2c3', 'polar-h9-0000ff', 'tickr-123456'];
const readingOf = (device: string, seq: number): Buffer =>
  Buffer.from(`${JSON.stringify({ ...READING, heart_rate: 60 + (seq % 100), device, seq })}\n`);

async function putRound(client: KinesisClient, from: number, to: number): Promise<void> {
  for (let seq = from; seq <= to; seq += 1)
    for (const device of DEVICES)
      await client.send(new PutRecordCommand({ StreamName, PartitionKey: device, Data: readingOf(device, seq) }));
}

describe('enhanced fan-out', { concurrency: true }, () => {
  test('through a split, a merge and a restart from the checkpoint no reading is missing and each device stays in order', async (t) => {
    const { client, consumerArn, active } = await startFanOutStream(t, 1);
    const ended = new AbortController();
    const seen = new Map(DEVICES.map((device): [string, number[]] => [device, []]));
    const checkpoint: Checkpoint = {};
    const reading = (async () => {
      for await (const record of readStream(client, { from: 'oldest', consumerArn, checkpoint, signal: ended.signal }))
        seen.get(record.reading?.device ?? '')?.push(record.reading?.seq ?? 0);
    })();
    const wanted = (last: number): boolean => [...seen.values()].every((seqs) => seqs.length >= last);
    const until = async (last: number): Promise<void> => {
      for (const end = performance.now() + 60_000; !wanted(last);) {
        assert.ok(performance.now() < end, `after ${last}: ${JSON.stringify([...seen.values()].map((seqs) => seqs.length))}`);
        await Promise.race([reading, new Promise((resolve) => setTimeout(resolve, 50))]);
      }
    };
    await putRound(client, 1, 5);
    await client.send(new SplitShardCommand({ StreamName, ShardToSplit: 'shardId-000000000000', NewStartingHashKey: HALF }));
    await putRound(client, 6, 10);
    await active(2);
    await putRound(client, 11, 15);
    await client.send(
      new MergeShardsCommand({ StreamName, ShardToMerge: 'shardId-000000000001', AdjacentShardToMerge: 'shardId-000000000002' }),
    );
    await putRound(client, 16, 20);
    await active(1);
    await putRound(client, 21, 25);
    await until(25);
    for (const [device, seqs] of seen)
      assert.deepEqual(
        seqs,
        Array.from({ length: 25 }, (_, index) => index + 1),
        device,
      );
    ended.abort();
    await reading;

    // An aggregate that arrives between two readers is the first record of the second.
    await client.send(
      new PutRecordsCommand({
        StreamName,
        Records: DEVICES.map((device) => ({
          PartitionKey: device,
          Data: aggregate(device, [readingOf(device, 26), readingOf(device, 27)]),
        })),
      }),
    );
    const later: number[] = [];
    for await (const { reading: next } of readStream(client, { from: 'oldest', consumerArn, checkpoint, untilCaughtUp: true }))
      later.push(next?.seq ?? 0);
    assert.deepEqual(later, [26, 27, 26, 27, 26, 27]);
  });

  test('a deleted stream ends its subscribed reader with the reason', async (t) => {
    const { client, consumerArn, stop } = await startFanOutStream(t, 1);
    await putRound(client, 1, 1);
    const records = readStream(client, { from: 'oldest', consumerArn });
    for (const device of DEVICES) assert.equal((await records.next()).value?.reading?.device, device);
    const next = records.next();
    await Promise.all([assert.rejects(next, { code: 'ECONNREFUSED' }), stop()]);
  });
});
