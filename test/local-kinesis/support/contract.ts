/** AWS' documentation of Kinesis, as laws for any stream with its API. Each law uses its own stream. */
import assert from 'node:assert/strict';
import {
  CreateStreamCommand,
  DecreaseStreamRetentionPeriodCommand,
  DeleteStreamCommand,
  DescribeStreamCommand,
  DescribeStreamSummaryCommand,
  GetRecordsCommand,
  GetShardIteratorCommand,
  IncreaseStreamRetentionPeriodCommand,
  ListShardsCommand,
  MergeShardsCommand,
  PutRecordCommand,
  PutRecordsCommand,
  SplitShardCommand,
  UpdateMaxRecordSizeCommand,
  UpdateShardCountCommand,
  type GetRecordsCommandOutput,
} from '@aws-sdk/client-kinesis';
import { eventually } from '../../support/eventually.ts';
import { active, HALF, hashOf, made, nameOf, put, read, shards, streamNames, text, type Law } from './law-stream.ts';
import { rateLaws } from './rate-laws.ts';
import { requestLaws } from './request-laws.ts';

export const laws: Readonly<Record<string, Law>> = {
  ...requestLaws,
  ...rateLaws,

  'what is put is read back in order, with its key and a growing sequence number': async (client) => {
    const StreamName = await made(client);
    const { Records = [], FailedRecordCount } = await client.send(
      new PutRecordsCommand({ StreamName, Records: ['1', '2', '3'].map((data) => put(data)) }),
    );
    assert.equal(FailedRecordCount, 0);
    const last = await client.send(new PutRecordCommand({ StreamName, ...put('4') }));
    const numbers = [...Records, last].map(({ SequenceNumber }) => BigInt(SequenceNumber ?? 0));
    assert.ok(numbers.every((number, index) => index === 0 || number > (numbers[index - 1] ?? 0n)));
    assert.deepEqual(await read({ client, StreamName }), ['1', '2', '3', '4']);
  },

  'every type of iterator begins at its position': async (client) => {
    const StreamName = await made(client);
    const { Records = [] } = await client.send(
      new PutRecordsCommand({ StreamName, Records: ['1', '2', '3'].map((data) => put(data)) }),
    );
    const at = { StartingSequenceNumber: Records[1]?.SequenceNumber };
    assert.deepEqual(await read({ client, StreamName, type: 'AT_SEQUENCE_NUMBER', at }), ['2', '3']);
    assert.deepEqual(await read({ client, StreamName, type: 'AFTER_SEQUENCE_NUMBER', at }), ['3']);
    assert.deepEqual(await read({ client, StreamName, type: 'LATEST' }), []);
    assert.deepEqual(await read({ client, StreamName, type: 'AT_TIMESTAMP', at: { Timestamp: new Date(Date.now() - 60_000) } }), [
      '1',
      '2',
      '3',
    ]);
  },

  'a record goes to the shard that covers the MD5 of its key, or its ExplicitHashKey': async (client) => {
    const StreamName = await made(client, 4);
    const all = await shards(client, StreamName);
    const keys = Array.from({ length: 20 }, (_, index) => `key-${index}`);
    const { Records = [] } = await client.send(new PutRecordsCommand({ StreamName, Records: keys.map((key) => put('x', key)) }));
    for (const [index, { ShardId }] of Records.entries()) {
      const hash = hashOf(keys[index] ?? '');
      assert.equal(ShardId, all.find(({ from, to }) => hash >= from && hash <= to)?.id);
    }
    const explicit = await client.send(new PutRecordCommand({ StreamName, ...put('x'), ExplicitHashKey: '0' }));
    assert.equal(explicit.ShardId, all.find(({ from }) => from === 0n)?.id);
  },

  'more than 500 records in a request are refused': async (client) => {
    const StreamName = await made(client);
    assert.match(
      await nameOf(client.send(new PutRecordsCommand({ StreamName, Records: Array.from({ length: 501 }, () => put('x')) }))),
      /ValidationException|InvalidArgumentException/,
    );
  },

  'a record above 1 MiB with its key is refused, one of 1 MiB with its key is accepted': async (client) => {
    const StreamName = await made(client);
    assert.match(
      await nameOf(client.send(new PutRecordCommand({ StreamName, Data: Buffer.alloc(1024 * 1024), PartitionKey: 'a' }))),
      /ValidationException|InvalidArgumentException/,
    );
    assert.equal(
      await nameOf(client.send(new PutRecordCommand({ StreamName, Data: Buffer.alloc(1024 * 1024 - 1), PartitionKey: 'a' }))),
      'none',
    );
  },

  'a request above 5 MiB is refused': async (client) => {
    const StreamName = await made(client);
    assert.match(
      await nameOf(
        client.send(
          new PutRecordsCommand({
            StreamName,
            Records: Array.from({ length: 6 }, () => ({ Data: Buffer.alloc(900_000), PartitionKey: 'a' })),
          }),
        ),
      ),
      /ValidationException|InvalidArgumentException/,
    );
  },

  'over 1,000 records a second a shard fail one by one inside a 200': async (client) => {
    const StreamName = await made(client);
    const answers = await Promise.all(
      [1, 2, 3, 4].map(
        async () =>
          await client.send(new PutRecordsCommand({ StreamName, Records: Array.from({ length: 500 }, () => put('x')) })),
      ),
    );
    const failed = answers.flatMap(({ Records = [] }) => Records).filter(({ ErrorCode }) => ErrorCode !== undefined);
    assert.ok(failed.length > 0);
    assert.ok(
      failed.every(
        ({ ErrorCode, SequenceNumber }) => ErrorCode === 'ProvisionedThroughputExceededException' && SequenceNumber === undefined,
      ),
    );
    assert.equal(
      answers.reduce((sum, { FailedRecordCount = 0 }) => sum + FailedRecordCount, 0),
      failed.length,
    );
  },

  'missing or invalid arguments are errors with the names of Kinesis': async (client) => {
    const StreamName = await made(client);
    assert.equal(
      await nameOf(client.send(new PutRecordCommand({ StreamName: 'none-such', ...put('x') }))),
      'ResourceNotFoundException',
    );
    assert.equal(
      await nameOf(
        client.send(new GetShardIteratorCommand({ StreamName, ShardId: 'shardId-000000000009', ShardIteratorType: 'LATEST' })),
      ),
      'ResourceNotFoundException',
    );
    assert.equal(await nameOf(client.send(new GetRecordsCommand({ ShardIterator: 'AAAArubbish' }))), 'InvalidArgumentException');
    assert.equal(await nameOf(client.send(new CreateStreamCommand({ StreamName, ShardCount: 1 }))), 'ResourceInUseException');
  },

  'streams are listed, described and deleted': async (client) => {
    const StreamName = await made(client, 3);
    assert.ok((await streamNames(client)).includes(StreamName), 'it is in the list');
    const { StreamDescription } = await client.send(new DescribeStreamCommand({ StreamName }));
    assert.equal(StreamDescription?.Shards?.length, 3);
    assert.equal(StreamDescription.RetentionPeriodHours, 24);
    assert.match(StreamDescription.StreamARN ?? '', /^arn:aws:kinesis:[a-z0-9-]+:\d{12}:stream\//);
    await client.send(new DeleteStreamCommand({ StreamName }));
    await eventually(
      async () => (await nameOf(client.send(new DescribeStreamSummaryCommand({ StreamName })))) === 'ResourceNotFoundException',
      { everyMs: 50 },
    );
  },

  'shards are listed in pages': async (client) => {
    const StreamName = await made(client, 3);
    const first = await client.send(new ListShardsCommand({ StreamName, MaxResults: 2 }));
    assert.equal(first.Shards?.length, 2);
    const second = await client.send(new ListShardsCommand({ NextToken: first.NextToken }));
    assert.equal(second.Shards?.length, 1);
    assert.equal(second.NextToken, undefined);
  },

  'a split closes its shard and opens two halves; a closed shard is read to its end, which names its children': async (
    client,
  ) => {
    const StreamName = await made(client);
    await client.send(new PutRecordCommand({ StreamName, ...put('before') }));
    await client.send(
      new SplitShardCommand({ StreamName, ShardToSplit: 'shardId-000000000000', NewStartingHashKey: HALF.toString() }),
    );
    await active(client, StreamName);
    const all = await shards(client, StreamName);
    assert.deepEqual(
      all.map(({ open, parent }) => [open, parent]),
      [
        [false, undefined],
        [true, 'shardId-000000000000'],
        [true, 'shardId-000000000000'],
      ],
    );
    assert.deepEqual(
      all.slice(1).map(({ from, to }) => [from, to]),
      [
        [0n, HALF - 1n],
        [HALF, 2n ** 128n - 1n],
      ],
    );
    let { ShardIterator } = await client.send(
      new GetShardIteratorCommand({ StreamName, ShardId: 'shardId-000000000000', ShardIteratorType: 'TRIM_HORIZON' }),
    );
    const seen: string[] = [];
    let children: (string | undefined)[] = [];
    for (let reads = 0; ShardIterator !== undefined && reads < 10; reads += 1) {
      const answer: GetRecordsCommandOutput = await eventually(
        async () => await client.send(new GetRecordsCommand({ ShardIterator })),
        { everyMs: 250 },
      );
      seen.push(...(answer.Records ?? []).map(text));
      children = (answer.ChildShards ?? []).map(({ ShardId }) => ShardId);
      ShardIterator = answer.NextShardIterator;
    }
    assert.equal(ShardIterator, undefined);
    assert.deepEqual(seen, ['before']);
    assert.deepEqual(children, ['shardId-000000000001', 'shardId-000000000002']);
  },

  'a merge closes two shards whose ranges touch and opens one; others cannot be merged': async (client) => {
    const StreamName = await made(client, 3);
    const [first, second, third] = (await shards(client, StreamName)).map(({ id }) => id);
    assert.equal(
      await nameOf(client.send(new MergeShardsCommand({ StreamName, ShardToMerge: first, AdjacentShardToMerge: third }))),
      'InvalidArgumentException',
    );
    await client.send(new MergeShardsCommand({ StreamName, ShardToMerge: first, AdjacentShardToMerge: second }));
    await active(client, StreamName);
    const merged = (await shards(client, StreamName)).at(-1);
    assert.deepEqual([merged?.parent, merged?.adjacent, merged?.from, merged?.open], [first, second, 0n, true]);
    assert.equal((await shards(client, StreamName)).filter(({ open }) => open).length, 2);
  },

  'UpdateShardCount doubles and halves at most, and covers all hash keys evenly': async (client) => {
    const StreamName = await made(client, 2);
    const to = async (TargetShardCount: number): Promise<string> =>
      await nameOf(client.send(new UpdateShardCountCommand({ StreamName, TargetShardCount, ScalingType: 'UNIFORM_SCALING' })));
    assert.equal(await to(4), 'none');
    await active(client, StreamName);
    const open = (await shards(client, StreamName)).filter((shard) => shard.open).sort((a, b) => (a.from < b.from ? -1 : 1));
    // How the remainder is rounded is not documented.
    assert.deepEqual(
      open.map(({ from }) => (from + 8n) / (HALF / 2n)),
      [0n, 1n, 2n, 3n],
    );
    assert.match(await to(9), /InvalidArgumentException|LimitExceededException/);
    assert.match(await to(1), /InvalidArgumentException|LimitExceededException/);
  },

  'retention goes up and down between 24 and 8,760 hours, each by its own call': async (client) => {
    const StreamName = await made(client);
    await client.send(new IncreaseStreamRetentionPeriodCommand({ StreamName, RetentionPeriodHours: 48 }));
    assert.equal(
      (await client.send(new DescribeStreamSummaryCommand({ StreamName }))).StreamDescriptionSummary?.RetentionPeriodHours,
      48,
    );
    assert.equal(
      await nameOf(client.send(new IncreaseStreamRetentionPeriodCommand({ StreamName, RetentionPeriodHours: 30 }))),
      'InvalidArgumentException',
    );
    await client.send(new DecreaseStreamRetentionPeriodCommand({ StreamName, RetentionPeriodHours: 24 }));
    assert.match(
      await nameOf(client.send(new DecreaseStreamRetentionPeriodCommand({ StreamName, RetentionPeriodHours: 23 }))),
      /InvalidArgumentException|ValidationException/,
    );
  },

  'UpdateMaxRecordSize lets larger records in': async (client) => {
    const StreamName = await made(client);
    const { StreamDescriptionSummary } = await client.send(new DescribeStreamSummaryCommand({ StreamName }));
    await client.send(
      new UpdateMaxRecordSizeCommand({ StreamARN: StreamDescriptionSummary?.StreamARN, MaxRecordSizeInKiB: 2048 }),
    );
    await active(client, StreamName);
    assert.equal(
      (await client.send(new DescribeStreamSummaryCommand({ StreamName }))).StreamDescriptionSummary?.MaxRecordSizeInKiB,
      2048,
    );
    // Above a second's worth of a shard, for which AWS has burst capacity.
    assert.equal(
      await nameOf(client.send(new PutRecordCommand({ StreamName, Data: Buffer.alloc(1_500_000), PartitionKey: 'a' }))),
      'none',
    );
  },
};
