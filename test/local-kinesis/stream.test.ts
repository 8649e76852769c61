import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  CreateStreamCommand,
  DeleteStreamCommand,
  DescribeStreamCommand,
  DescribeStreamSummaryCommand,
  GetRecordsCommand,
  GetShardIteratorCommand,
  IncreaseStreamRetentionPeriodCommand,
  ListShardsCommand,
  ListStreamsCommand,
  MergeShardsCommand,
  PutRecordCommand,
  PutRecordsCommand,
  SplitShardCommand,
  UpdateShardCountCommand,
  type KinesisClient,
  type ShardIteratorType,
} from '@aws-sdk/client-kinesis';
import { LocalKinesisService } from '../../local-kinesis/service.ts';
import { readStream } from '../../cloud/reader/read-stream.ts';
import { clientOf, readAll } from '../system/pipeline/support/stream.ts';
import { startLocalStream } from '../support/local-stream.ts';
import { tempDir } from '../support/temp-dir.ts';
import { testConfig, testLog } from '../support/test-config.ts';

const stream = 'hr-data-stream';
const record = (seq: number, key = 'a'): { Data: Buffer; PartitionKey: string } => ({
  Data: Buffer.from(JSON.stringify({ seq })),
  PartitionKey: key,
});

async function nameOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return (error as Error).name;
  }
  return 'none';
}

async function read(client: KinesisClient, type: ShardIteratorType, extra: object = {}): Promise<number[]> {
  const { ShardIterator } = await client.send(
    new GetShardIteratorCommand({ StreamName: stream, ShardId: 'shardId-000000000000', ShardIteratorType: type, ...extra }),
  );
  const { Records = [] } = await client.send(new GetRecordsCommand({ ShardIterator }));
  return Records.map(({ Data }) => (JSON.parse(Buffer.from(Data ?? []).toString()) as { seq: number }).seq);
}

test('records are read back in order by every type of iterator', async (t) => {
  const { client } = await startLocalStream(t, { LOCAL_KINESIS_LIMITS: 'false' });
  const { Records = [] } = await client.send(
    new PutRecordsCommand({ StreamName: stream, Records: [1, 2, 3].map((seq) => record(seq)) }),
  );
  const second = Records[1]?.SequenceNumber ?? '';
  const after = new Date();
  await client.send(new PutRecordCommand({ StreamName: stream, ...record(4) }));
  assert.deepEqual(await read(client, 'TRIM_HORIZON'), [1, 2, 3, 4]);
  assert.deepEqual(await read(client, 'LATEST'), []);
  assert.deepEqual(await read(client, 'AT_SEQUENCE_NUMBER', { StartingSequenceNumber: second }), [2, 3, 4]);
  assert.deepEqual(await read(client, 'AFTER_SEQUENCE_NUMBER', { StartingSequenceNumber: second }), [3, 4]);
  assert.deepEqual((await read(client, 'AT_TIMESTAMP', { Timestamp: new Date(after.getTime() - 60_000) })).length, 4);
  assert.ok(
    Records.every(
      ({ SequenceNumber }, index) => index === 0 || BigInt(SequenceNumber ?? 0) > BigInt(Records[index - 1]?.SequenceNumber ?? 0),
    ),
  );
});

test("records over a shard's limits fail one by one inside a 200, and requests over their own limits are refused", async (t) => {
  const { client } = await startLocalStream(t);
  const full = Array.from({ length: 500 }, (_, index) => record(index));
  const startedMs = performance.now();
  const answers = await Promise.all(
    Array.from({ length: 12 }, async () => await client.send(new PutRecordsCommand({ StreamName: stream, Records: full }))),
  );
  const seconds = (performance.now() - startedMs) / 1000;
  const codes = answers.flatMap(({ Records = [] }) => Records).map(({ ErrorCode }) => ErrorCode);
  const accepted = codes.filter((code) => code === undefined).length;
  assert.ok(
    accepted >= 1000 && accepted <= 1000 * (1 + seconds),
    `${accepted} of ${codes.length} records were accepted within ${seconds.toFixed(2)} s`,
  );
  assert.deepEqual(new Set(codes), new Set([undefined, 'ProvisionedThroughputExceededException']));
  assert.equal(
    answers.reduce((sum, { FailedRecordCount = 0 }) => sum + FailedRecordCount, 0),
    codes.length - accepted,
  );
  assert.equal(
    await nameOf(client.send(new PutRecordsCommand({ StreamName: stream, Records: [...full, record(501)] }))),
    'ValidationException',
  );
  assert.equal(
    await nameOf(client.send(new PutRecordCommand({ StreamName: stream, Data: Buffer.alloc(1024 * 1024), PartitionKey: 'a' }))),
    'ValidationException',
  );
  assert.equal(
    await nameOf(
      client.send(
        new PutRecordsCommand({
          StreamName: stream,
          Records: Array.from({ length: 6 }, () => ({ Data: Buffer.alloc(900_000), PartitionKey: 'a' })),
        }),
      ),
    ),
    'InvalidArgumentException',
  );
});

test('streams are created, listed, described and deleted; a missing one is reported as Kinesis does', async (t) => {
  const { client } = await startLocalStream(t);
  await client.send(new CreateStreamCommand({ StreamName: 'second', ShardCount: 3 }));
  assert.equal(
    await nameOf(client.send(new CreateStreamCommand({ StreamName: 'second', ShardCount: 1 }))),
    'ResourceInUseException',
  );
  assert.deepEqual((await client.send(new ListStreamsCommand({}))).StreamNames, [stream, 'second']);
  assert.equal(
    (await client.send(new DescribeStreamSummaryCommand({ StreamName: 'second' }))).StreamDescriptionSummary?.OpenShardCount,
    3,
  );
  assert.equal((await client.send(new DescribeStreamCommand({ StreamName: 'second' }))).StreamDescription?.Shards?.length, 3);
  assert.equal((await client.send(new ListShardsCommand({ StreamName: 'second', MaxResults: 2 }))).Shards?.length, 2);
  await client.send(new IncreaseStreamRetentionPeriodCommand({ StreamName: 'second', RetentionPeriodHours: 48 }));
  assert.equal(
    (await client.send(new DescribeStreamSummaryCommand({ StreamName: 'second' }))).StreamDescriptionSummary
      ?.RetentionPeriodHours,
    48,
  );
  await client.send(new DeleteStreamCommand({ StreamName: 'second' }));
  assert.equal(
    await nameOf(client.send(new PutRecordCommand({ StreamName: 'second', ...record(1) }))),
    'ResourceNotFoundException',
  );
  assert.equal(await nameOf(client.send(new GetRecordsCommand({ ShardIterator: 'rubbish' }))), 'InvalidArgumentException');
});

test('a reader follows split, merge and scaling without a missing record, and each key stays in order', async (t) => {
  const { client } = await startLocalStream(t, { LOCAL_KINESIS_LIMITS: 'false' });
  const keys = ['a', 'b', 'c', 'd', 'e'];
  let seq = 0;
  const put = async (): Promise<void> => {
    for (let i = 0; i < 20; i += 1) {
      const Records = keys.map((key) => record((seq += 1), key));
      await client.send(new PutRecordsCommand({ StreamName: stream, Records }));
    }
  };
  await put();
  await client.send(
    new SplitShardCommand({
      StreamName: stream,
      ShardToSplit: 'shardId-000000000000',
      NewStartingHashKey: (2n ** 127n).toString(),
    }),
  );
  await put();
  await client.send(
    new MergeShardsCommand({
      StreamName: stream,
      ShardToMerge: 'shardId-000000000001',
      AdjacentShardToMerge: 'shardId-000000000002',
    }),
  );
  await put();
  await client.send(new UpdateShardCountCommand({ StreamName: stream, TargetShardCount: 2, ScalingType: 'UNIFORM_SCALING' }));
  await put();
  const seen = new Map<string, number[]>();
  for await (const { partitionKey, data } of readStream(client, { stream, from: 'oldest', untilCaughtUp: true, pollMs: 10 }))
    seen.set(partitionKey, [...(seen.get(partitionKey) ?? []), (JSON.parse(data.toString()) as { seq: number }).seq]);
  assert.equal(
    [...seen.values()].reduce((sum, list) => sum + list.length, 0),
    400,
  );
  for (const list of seen.values())
    assert.deepEqual(
      list,
      [...list].sort((a, b) => a - b),
    );
});

test('acknowledged records survive a restart, and a second process on the same folder is refused', async (t) => {
  const config = testConfig({ DATA_DIR: tempDir(t) });
  const context = { config, log: testLog(config) };
  const first = new LocalKinesisService(context);
  await first.start();
  const client = clientOf(`http://127.0.0.1:${first.port}`);
  await client.send(new PutRecordsCommand({ StreamName: stream, Records: [record(1), record(2)] }));
  client.destroy();
  await assert.rejects(new LocalKinesisService(context).start(), /data_dir_in_use/);
  await first.stop();
  const second = new LocalKinesisService(context);
  await second.start();
  t.after(() => second.stop());
  assert.deepEqual(
    (await readAll(`http://127.0.0.1:${second.port}`)).map(({ seq }) => seq),
    [1, 2],
  );
});
