/** What the local stream does not support, or does not understand, is refused with the error that Kinesis documents for it. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { sharedStream, type LocalStream } from '../support/local-stream.ts';
import { askJson, typeOf } from './support/raw.ts';

const StreamName = 'hr-data-stream';
const ShardId = 'shardId-000000000000';
const arn = (account: string, name = StreamName, region = 'us-east-1'): string =>
  `arn:aws:kinesis:${region}:${account}:stream/${name}`;
const ARN = arn('000000000000');
const put = { StreamName, Data: 'YQ==', PartitionKey: 'a' };
const make = { StreamName: 'made', ShardCount: 1 };
const iterator = { StreamName, ShardId, ShardIteratorType: 'LATEST' };
const filter = (ShardFilter: object, extra: object = {}): object => ({ StreamName, ShardFilter, ...extra });
const now = Date.now() / 1000;

/** [operation, request, error] */
const CASES: Readonly<Record<string, readonly [string, object | string, string]>> = {
  'an on-demand stream': [
    'CreateStream',
    { ...make, StreamModeDetails: { StreamMode: 'ON_DEMAND' } },
    'InvalidArgumentException',
  ],
  'an unknown mode': ['CreateStream', { ...make, StreamModeDetails: { StreamMode: 'OTHER' } }, 'ValidationException'],
  'a mode without its value': ['CreateStream', { ...make, StreamModeDetails: {} }, 'ValidationException'],
  tags: ['CreateStream', { ...make, Tags: { a: 'b' } }, 'InvalidArgumentException'],
  'empty tags': ['CreateStream', { ...make, Tags: {} }, 'InvalidArgumentException'],
  'warm throughput': ['CreateStream', { ...make, WarmThroughputMiBps: 1 }, 'InvalidArgumentException'],
  'a distribution strategy': ['CreateStream', { ...make, RecordDistributionStrategy: 'AUTO' }, 'InvalidArgumentException'],
  'a record size below 1 MiB': ['CreateStream', { ...make, MaxRecordSizeInKiB: 1 }, 'ValidationException'],
  'no shards': ['CreateStream', { ...make, ShardCount: 0 }, 'ValidationException'],
  'a provisioned stream without a number of shards': ['CreateStream', { StreamName: 'made' }, 'InvalidArgumentException'],
  'more shards than an account has': ['CreateStream', { ...make, ShardCount: 20_001 }, 'LimitExceededException'],
  'a name with a slash': ['CreateStream', { ...make, StreamName: 'a/b' }, 'ValidationException'],
  'a name of a line break': ['CreateStream', { ...make, StreamName: 'a\n' }, 'ValidationException'],
  'an empty name': ['CreateStream', { ...make, StreamName: '' }, 'ValidationException'],
  'a name of 129 characters': ['CreateStream', { ...make, StreamName: 'a'.repeat(129) }, 'ValidationException'],
  'an ARN of another account': ['DescribeStream', { StreamARN: arn('123456789012') }, 'ResourceNotFoundException'],
  'an ARN of another region': [
    'DescribeStream',
    { StreamARN: arn('000000000000', StreamName, 'eu-west-1') },
    'ResourceNotFoundException',
  ],
  'an ARN of another service': [
    'DescribeStream',
    { StreamARN: `arn:aws:sqs:us-east-1:000000000000:stream/${StreamName}` },
    'ValidationException',
  ],
  'an ARN of a consumer': ['DescribeStream', { StreamARN: `${ARN}/consumer/c:1` }, 'ResourceNotFoundException'],
  'an ARN and a name of two streams': [
    'DescribeStream',
    { StreamName, StreamARN: arn('000000000000', 'other') },
    'InvalidArgumentException',
  ],
  'a foreign ARN beside the right name': ['PutRecord', { ...put, StreamARN: arn('123456789012') }, 'ResourceNotFoundException'],
  'neither name nor ARN': ['DescribeStreamSummary', {}, 'InvalidArgumentException'],
  'a stream id': ['DescribeStream', { StreamName, StreamId: 'abcdefghij0123456789-abc' }, 'InvalidArgumentException'],
  'data that is not base64': ['PutRecord', { ...put, Data: '$$$' }, 'SerializationException'],
  'base64 without its padding': ['PutRecord', { ...put, Data: 'YQ' }, 'SerializationException'],
  'base64 of the alphabet for URLs': ['PutRecord', { ...put, Data: '-_-_' }, 'SerializationException'],
  'base64 with a space': ['PutRecord', { ...put, Data: 'YW Jj' }, 'SerializationException'],
  'base64 with bits beyond the last byte': ['PutRecord', { ...put, Data: 'YR==' }, 'SerializationException'],
  'one record of two that is not base64': [
    'PutRecords',
    {
      StreamName,
      Records: [
        { Data: 'YQ==', PartitionKey: 'a' },
        { Data: '*', PartitionKey: 'a' },
      ],
    },
    'SerializationException',
  ],
  'an empty partition key': ['PutRecord', { ...put, PartitionKey: '' }, 'ValidationException'],
  'a partition key of 257 characters': ['PutRecord', { ...put, PartitionKey: '€'.repeat(257) }, 'ValidationException'],
  'a partition key that is not Unicode': [
    'PutRecord',
    `{"StreamName":"${StreamName}","Data":"YQ==","PartitionKey":"\\ud800"}`,
    'SerializationException',
  ],
  'a hash key above 2^128-1': ['PutRecord', { ...put, ExplicitHashKey: (2n ** 128n).toString() }, 'InvalidArgumentException'],
  'a hash key with a leading zero': ['PutRecord', { ...put, ExplicitHashKey: '01' }, 'ValidationException'],
  'a sequence number of another stream': ['PutRecord', { ...put, SequenceNumberForOrdering: '1' }, 'InvalidArgumentException'],
  'a sequence number of the future': [
    'PutRecord',
    { ...put, SequenceNumberForOrdering: (496n * 10n ** 53n + 16_000_002n).toString() },
    'InvalidArgumentException',
  ],
  'a put that is only tried': ['PutRecord', { ...put, DryRun: true }, 'DryRunOperationException'],
  'no records': ['PutRecords', { StreamName, Records: [] }, 'ValidationException'],
  'a record that is null': ['PutRecords', { StreamName, Records: [null] }, 'ValidationException'],
  'LATEST with a sequence number': ['GetShardIterator', { ...iterator, StartingSequenceNumber: '0' }, 'InvalidArgumentException'],
  'AT_SEQUENCE_NUMBER without one': [
    'GetShardIterator',
    { ...iterator, ShardIteratorType: 'AT_SEQUENCE_NUMBER' },
    'InvalidArgumentException',
  ],
  'AT_TIMESTAMP without a time': [
    'GetShardIterator',
    { ...iterator, ShardIteratorType: 'AT_TIMESTAMP' },
    'InvalidArgumentException',
  ],
  'TRIM_HORIZON with a time': [
    'GetShardIterator',
    { ...iterator, ShardIteratorType: 'TRIM_HORIZON', Timestamp: now },
    'InvalidArgumentException',
  ],
  'a time as text': [
    'GetShardIterator',
    { ...iterator, ShardIteratorType: 'AT_TIMESTAMP', Timestamp: '2026-01-01' },
    'SerializationException',
  ],
  'a sequence number that no record has': [
    'GetShardIterator',
    { ...iterator, ShardIteratorType: 'AT_SEQUENCE_NUMBER', StartingSequenceNumber: '7' },
    'InvalidArgumentException',
  ],
  'a shard that does not exist': [
    'GetShardIterator',
    { ...iterator, ShardId: 'shardId-000000000009' },
    'ResourceNotFoundException',
  ],
  'an empty iterator': ['GetRecords', { ShardIterator: '' }, 'ValidationException'],
  'ShardFilter without a type': ['ListShards', filter({}), 'ValidationException'],
  'ShardFilter of an unknown type': ['ListShards', filter({ Type: 'OPEN' }), 'ValidationException'],
  'AFTER_SHARD_ID without a shard': ['ListShards', filter({ Type: 'AFTER_SHARD_ID' }), 'InvalidArgumentException'],
  'AT_TIMESTAMP filter without a time': ['ListShards', filter({ Type: 'AT_TIMESTAMP' }), 'InvalidArgumentException'],
  'FROM_TIMESTAMP without a time': ['ListShards', filter({ Type: 'FROM_TIMESTAMP' }), 'InvalidArgumentException'],
  'AT_LATEST with a shard': ['ListShards', filter({ Type: 'AT_LATEST', ShardId }), 'InvalidArgumentException'],
  'AT_TRIM_HORIZON with a time': ['ListShards', filter({ Type: 'AT_TRIM_HORIZON', Timestamp: now }), 'InvalidArgumentException'],
  'FROM_TIMESTAMP with a shard': [
    'ListShards',
    filter({ Type: 'FROM_TIMESTAMP', Timestamp: now, ShardId }),
    'InvalidArgumentException',
  ],
  'two filters': ['ListShards', filter({ Type: 'AT_LATEST' }, { ExclusiveStartShardId: ShardId }), 'InvalidArgumentException'],
  'a stream of another time': ['ListShards', { StreamName, StreamCreationTimestamp: 1 }, 'InvalidArgumentException'],
  'a page of no size': ['ListShards', { StreamName, MaxResults: 0 }, 'ValidationException'],
  'a token that is not ours': ['ListShards', { NextToken: 'anything' }, 'InvalidArgumentException'],
  'a token that is base64 of JSON': [
    'ListShards',
    { NextToken: Buffer.from('["hr-data-stream"]').toString('base64') },
    'InvalidArgumentException',
  ],
  'a token of streams that is not ours': ['ListStreams', { NextToken: StreamName }, 'InvalidArgumentException'],
  'a token beside a name to start from': [
    'ListStreams',
    { NextToken: 'x', ExclusiveStartStreamName: 'a' },
    'InvalidArgumentException',
  ],
  'a split at the first hash key': [
    'SplitShard',
    { StreamName, ShardToSplit: ShardId, NewStartingHashKey: '0' },
    'InvalidArgumentException',
  ],
  'a split above all hash keys': [
    'SplitShard',
    { StreamName, ShardToSplit: ShardId, NewStartingHashKey: (2n ** 128n).toString() },
    'InvalidArgumentException',
  ],
  'a merge of a shard with itself': [
    'MergeShards',
    { StreamName, ShardToMerge: ShardId, AdjacentShardToMerge: ShardId },
    'InvalidArgumentException',
  ],
  'more than twice the shards': [
    'UpdateShardCount',
    { StreamName, TargetShardCount: 3, ScalingType: 'UNIFORM_SCALING' },
    'InvalidArgumentException',
  ],
  'another type of scaling': [
    'UpdateShardCount',
    { StreamName, TargetShardCount: 2, ScalingType: 'OTHER' },
    'ValidationException',
  ],
  'a retention of less than a day': [
    'IncreaseStreamRetentionPeriod',
    { StreamName, RetentionPeriodHours: 23 },
    'InvalidArgumentException',
  ],
  'a retention of more than a year': [
    'IncreaseStreamRetentionPeriod',
    { StreamName, RetentionPeriodHours: 8761 },
    'InvalidArgumentException',
  ],
  'an increase that is none': [
    'IncreaseStreamRetentionPeriod',
    { StreamName, RetentionPeriodHours: 24 },
    'InvalidArgumentException',
  ],
  'a record size above 10 MiB': ['UpdateMaxRecordSize', { StreamARN: ARN, MaxRecordSizeInKiB: 10_241 }, 'ValidationException'],
  'a record size by name': [
    'UpdateMaxRecordSize',
    { StreamName, StreamARN: ARN, MaxRecordSizeInKiB: 2048 },
    'ValidationException',
  ],
  'a body that is not JSON': ['DescribeStream', '{', 'SerializationException'],
  'a body that is a list': ['DescribeStream', '[]', 'SerializationException'],
  'a body that is null': ['DescribeStream', 'null', 'SerializationException'],
  'a member named like a method': ['DescribeStream', '{"StreamName":"hr-data-stream","__proto__":{}}', 'ValidationException'],
};

describe('refusals', () => {
  const started = sharedStream();
  let stream: LocalStream;
  before(async () => {
    stream = await started();
  });
  const ask = async (operation: string, input: object): Promise<Record<string, unknown>> => {
    const { status, body } = await askJson(stream.endpoint, operation, input);
    assert.equal(status, 200, `${operation}: ${JSON.stringify(body)}`);
    return body;
  };

  for (const [what, [operation, request, error]] of Object.entries(CASES))
    test(`${operation} refuses ${what} with ${error}`, async () => {
      const answer = await askJson(stream.endpoint, operation, request);
      assert.deepEqual([answer.status, typeOf(answer)], [400, error], JSON.stringify(answer.body));
      assert.ok(String(answer.body['message']).length > 10, 'the message says what is wrong');
    });

  test('nothing of what was refused was done', async () => {
    assert.deepEqual((await ask('ListStreams', {}))['StreamNames'], [StreamName]);
    const { ShardIterator } = await ask('GetShardIterator', { ...iterator, ShardIteratorType: 'TRIM_HORIZON' });
    assert.deepEqual((await ask('GetRecords', { ShardIterator }))['Records'], []);
    assert.equal(((await ask('ListShards', { StreamName }))['Shards'] as object[]).length, 1);
  });

  test('what is supported beside it is accepted', async () => {
    await ask('CreateStream', {
      ...make,
      StreamModeDetails: { StreamMode: 'PROVISIONED' },
      MaxRecordSizeInKiB: 2048,
      Tags: null,
    });
    await ask('DescribeStream', { StreamName, StreamARN: ARN });
    const first = await ask('PutRecord', { ...put, DryRun: false });
    await ask('PutRecord', { ...put, SequenceNumberForOrdering: first['SequenceNumber'] });
    await ask('DeleteStream', { StreamName: 'made', EnforceConsumerDeletion: true });
  });

  test('an iterator or a token that was changed in one character is refused', async () => {
    await ask('CreateStream', { StreamName: 'pages', ShardCount: 3 });
    const { ShardIterator } = await ask('GetShardIterator', iterator);
    const { NextToken } = await ask('ListShards', { StreamName: 'pages', MaxResults: 1 });
    for (const [operation, member, text] of [
      ['GetRecords', 'ShardIterator', String(ShardIterator)],
      ['ListShards', 'NextToken', String(NextToken)],
    ] as const) {
      for (const at of [0, 11, Math.floor(text.length / 2), text.length - 5]) {
        const changed = `${text.slice(0, at)}${text[at] === 'A' ? 'B' : 'A'}${text.slice(at + 1)}`;
        assert.equal(
          typeOf(await askJson(stream.endpoint, operation, { [member]: changed })),
          'InvalidArgumentException',
          changed,
        );
      }
      assert.equal(typeOf(await askJson(stream.endpoint, operation, { [member]: `${text}AAAA` })), 'InvalidArgumentException');
    }
    const swapped = await askJson(stream.endpoint, 'GetRecords', { ShardIterator: NextToken });
    assert.equal(typeOf(swapped), 'InvalidArgumentException');
    for (const extra of [
      { StreamName: 'pages' },
      { ExclusiveStartShardId: ShardId },
      { StreamCreationTimestamp: now },
      { ShardFilter: { Type: 'AT_LATEST' } },
      { StreamARN: ARN },
    ])
      assert.equal(typeOf(await askJson(stream.endpoint, 'ListShards', { NextToken, ...extra })), 'InvalidArgumentException');
    await ask('ListShards', { NextToken, MaxResults: 1, StreamARN: arn('000000000000', 'pages') });
    assert.equal(
      typeOf(await askJson(stream.endpoint, 'GetRecords', { ShardIterator, StreamARN: arn('000000000000', 'pages') })),
      'InvalidArgumentException',
    );
    assert.equal(
      typeOf(await askJson(stream.endpoint, 'GetRecords', { ShardIterator, Limit: 10_001 })),
      'InvalidArgumentException',
    );
    await ask('GetRecords', { ShardIterator, StreamARN: ARN });
  });

  test('an iterator and a token of a stream that was deleted are refused, though another has its name', async () => {
    await ask('CreateStream', { StreamName: 'twice', ShardCount: 2 });
    const { ShardIterator } = await ask('GetShardIterator', { ...iterator, StreamName: 'twice' });
    const { NextToken } = await ask('ListShards', { StreamName: 'twice', MaxResults: 1 });
    await ask('DeleteStream', { StreamName: 'twice' });
    assert.equal(typeOf(await askJson(stream.endpoint, 'GetRecords', { ShardIterator })), 'ResourceNotFoundException');
    await ask('CreateStream', { StreamName: 'twice', ShardCount: 2 });
    assert.equal(typeOf(await askJson(stream.endpoint, 'GetRecords', { ShardIterator })), 'InvalidArgumentException');
    assert.equal(typeOf(await askJson(stream.endpoint, 'ListShards', { NextToken })), 'InvalidArgumentException');
  });

  test('a body of another Content-Type is refused', async () => {
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/cbor', 'application/x-amz-json-1.0']) {
      const answer = await fetch(stream.endpoint, {
        method: 'POST',
        headers: { 'x-amz-target': 'Kinesis_20131202.ListStreams', 'content-type': type },
        body: '{}',
      });
      assert.equal(answer.status, 404, type);
      assert.match(await answer.text(), /UnknownOperationException/);
    }
  });
});
