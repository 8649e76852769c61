import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { sharedStream, type LocalStream } from '../support/local-stream.ts';
import { askCbor, askJson, Ms, typeOf } from './support/raw.ts';

const StreamName = 'hr-data-stream';
const ShardId = 'shardId-000000000000';

/** What an answer in CBOR says, in JSON's form: bytes as base64, times in seconds. */
function inJsonForm(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (value instanceof Ms) return value.ms / 1000;
  if (Array.isArray(value)) return value.map(inJsonForm);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, inJsonForm(one)]));
}

/** Whether a value is of the form that this member has in CBOR. */
function checkForm(key: string, value: unknown): void {
  if (key === 'Data') assert.ok(value instanceof Uint8Array, 'a blob is a byte string');
  if (key.endsWith('Timestamp'))
    assert.ok(value instanceof Ms && Number.isInteger(value.ms), 'a time is whole milliseconds with tag 1');
  if (Array.isArray(value)) for (const one of value) checkForm('', one);
  else if (typeof value === 'object' && value !== null && !(value instanceof Uint8Array))
    for (const [name, one] of Object.entries(value)) checkForm(name, one);
}

describe('CBOR', () => {
  const started = sharedStream();
  let stream: LocalStream;
  before(async () => {
    stream = await started();
  });

  test('every operation does the same in CBOR as in JSON', async () => {
    const ask = async (operation: string, input: object): Promise<Record<string, unknown>> => {
      const answer = await askCbor(stream.endpoint, operation, input);
      assert.equal(answer.status, 200, `${operation}: ${JSON.stringify(answer.body)}`);
      assert.equal(answer.contentType, 'application/x-amz-cbor-1.1');
      checkForm('', answer.body);
      return answer.body;
    };
    const same = async (operation: string, input: object, jsonInput = input): Promise<Record<string, unknown>> => {
      const inCbor = await ask(operation, input);
      const { body } = await askJson(stream.endpoint, operation, jsonInput);
      assert.deepEqual(inJsonForm(inCbor), body, operation);
      return inCbor;
    };
    const Data = Buffer.from(Array.from({ length: 256 }, (_, index) => index));
    await ask('PutRecord', { StreamName, Data, PartitionKey: 'é', ExplicitHashKey: '0' });
    const puts = await ask('PutRecords', { StreamName, Records: [{ Data: Buffer.alloc(0), PartitionKey: 'b' }] });
    assert.equal(puts['FailedRecordCount'], 0);
    for (const input of [
      { ShardIteratorType: 'TRIM_HORIZON' },
      { ShardIteratorType: 'AT_TIMESTAMP', Timestamp: new Ms(Date.now() - 60_000) },
    ]) {
      const { ShardIterator } = await ask('GetShardIterator', { StreamName, ShardId, ...input });
      const { Records } = await ask('GetRecords', { ShardIterator });
      assert.deepEqual(
        (inJsonForm(Records) as { Data: string; PartitionKey: string }[]).map((record) => [record.Data, record.PartitionKey]),
        [
          [Data.toString('base64'), 'é'],
          ['', 'b'],
        ],
      );
    }
    const second = (Date.now() - 1) / 1000;
    await ask('CreateStream', { StreamName: 'other', ShardCount: 2 });
    await same('ListStreams', {});
    await same('DescribeStream', { StreamName: 'other' });
    await same('DescribeStreamSummary', { StreamName: 'other' });
    await same(
      'ListShards',
      { StreamName: 'other', ShardFilter: { Type: 'AT_TIMESTAMP', Timestamp: new Ms(Math.round(second * 1000)) } },
      { StreamName: 'other', ShardFilter: { Type: 'AT_TIMESTAMP', Timestamp: second } },
    );
    await ask('SplitShard', { StreamName: 'other', ShardToSplit: ShardId, NewStartingHashKey: '1000' });
    await ask('MergeShards', {
      StreamName: 'other',
      ShardToMerge: 'shardId-000000000002',
      AdjacentShardToMerge: 'shardId-000000000003',
    });
    const scaled = await ask('UpdateShardCount', { StreamName: 'other', TargetShardCount: 3, ScalingType: 'UNIFORM_SCALING' });
    assert.deepEqual([scaled['CurrentShardCount'], scaled['TargetShardCount']], [2, 3]);
    await same('ListShards', { StreamName: 'other' });
    await ask('IncreaseStreamRetentionPeriod', { StreamName: 'other', RetentionPeriodHours: 48 });
    await ask('DecreaseStreamRetentionPeriod', { StreamName: 'other', RetentionPeriodHours: 24 });
    await ask('UpdateMaxRecordSize', {
      StreamARN: 'arn:aws:kinesis:us-east-1:000000000000:stream/other',
      MaxRecordSizeInKiB: 2048,
    });
    await ask('DeleteStream', { StreamName: 'other' });
    await same('ListStreams', {});
  });

  test('a request with lengths that are not known in advance, as Java writes it, is understood', async () => {
    // {_ "StreamName": "hr-data-stream"}
    const body = Buffer.concat([
      Buffer.from([0xbf, 0x6a]),
      Buffer.from('StreamName'),
      Buffer.from([0x78, StreamName.length]),
      Buffer.from(StreamName),
      Buffer.from([0xff]),
    ]);
    assert.equal((await askCbor(stream.endpoint, 'DescribeStream', body)).status, 200);
  });

  test('errors are CBOR, with the type and the message of JSON', async () => {
    const answer = await askCbor(stream.endpoint, 'DescribeStream', { StreamName: 'none-such' });
    assert.deepEqual(
      [answer.status, answer.contentType, typeOf(answer)],
      [400, 'application/x-amz-cbor-1.1', 'ResourceNotFoundException'],
    );
    assert.deepEqual(answer.body, (await askJson(stream.endpoint, 'DescribeStream', { StreamName: 'none-such' })).body);
    assert.equal(typeOf(await askCbor(stream.endpoint, 'RegisterStreamConsumer', {})), 'UnknownOperationException');
  });

  test('what is not the CBOR of a request is refused', async () => {
    const name = (length: number): Buffer => Buffer.from([0x60 + length]);
    const bodies: Record<string, Uint8Array> = {
      'cut off': Buffer.from([0xa1, 0x6a, 0x53]),
      'more than one value': Buffer.from([0xa0, 0xa0]),
      'a list': Buffer.from([0x80]),
      'a number': Buffer.from([0x01]),
      JSON: Buffer.from('{}'),
      'a key twice': Buffer.concat([
        Buffer.from([0xa2]),
        ...[1, 2].map(() => Buffer.concat([name(10), Buffer.from('StreamName'), name(1), Buffer.from('a')])),
      ]),
      'a key that is a number': Buffer.from([0xa1, 0x01, 0x01]),
      'an unknown tag': Buffer.from([0xd9, 0x03, 0xe8, 0xa0]),
      'nested a thousand deep': Buffer.concat([Buffer.alloc(100_000, 0x81), Buffer.from([0x01])]),
      'a length of 2^53': Buffer.from([0xbb, 0, 0x20, 0, 0, 0, 0, 0, 0]),
    };
    for (const [what, body] of Object.entries(bodies)) {
      const answer = await askCbor(stream.endpoint, 'DescribeStream', body);
      assert.equal(answer.status, 400, what);
      assert.match(typeOf(answer), /SerializationException|ValidationException/, what);
    }
    for (const [what, input] of Object.entries({
      'text for a blob': { StreamName, Data: 'YQ==', PartitionKey: 'a' },
      'bytes for text': { StreamName, Data: Buffer.from('a'), PartitionKey: Buffer.from('a') },
    }))
      assert.equal(typeOf(await askCbor(stream.endpoint, 'PutRecord', input)), 'SerializationException', what);
    assert.equal(
      typeOf(
        await askCbor(stream.endpoint, 'GetShardIterator', {
          StreamName,
          ShardId,
          ShardIteratorType: 'AT_TIMESTAMP',
          Timestamp: 1.5,
        }),
      ),
      'SerializationException',
    );
  });
});
