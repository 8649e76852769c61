/** The local stream beside the API reference, as AWS' SDK has it: each member of each operation is supported or refused. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import * as sdk from '@aws-sdk/client-kinesis';
import { requests } from '../../local-kinesis/wire/requests.ts';
import { sharedStream, type LocalStream } from '../support/local-stream.ts';
import { askJson, typeOf } from './support/raw.ts';

/** A structure or a list of the SDK: [3, namespace, name, traits, member names, member schemas]. */
type Schema = readonly unknown[];

const isSchema = (value: unknown, kind: number): value is Schema => Array.isArray(value) && value[0] === kind;
const resolved = (value: unknown): unknown => (typeof value === 'function' ? (value as () => unknown)() : value);

/** The input structures by operation. */
const inputs = new Map<string, Schema>();
/** The output structures by operation; none if it answers with nothing. */
const outputs = new Map<string, Schema>();
for (const value of Object.values(sdk) as unknown[])
  if (isSchema(value, 9)) {
    const [input, output] = [resolved(value[4]), resolved(value[5])];
    if (isSchema(input, 3)) inputs.set(String(value[2]), input);
    if (isSchema(output, 3)) outputs.set(String(value[2]), output);
  }

const membersOf = (structure: Schema): [string, unknown][] =>
  (structure[4] as string[]).map((name, index) => [name, resolved((structure[5] as unknown[])[index])]);

/** Values of each JSON type. */
const VALUES: Readonly<Record<string, unknown>> = {
  text: '\u0000 no such value',
  number: -1,
  fraction: 1.5,
  boolean: true,
  list: [],
  structure: { None: 1 },
};

/** A request of each operation that would succeed, so that the tested member alone can be the reason of a refusal. */
const StreamName = 'hr-data-stream';
const ShardId = 'shardId-000000000000';
const VALID: Readonly<Record<keyof typeof requests, object>> = {
  CreateStream: { StreamName: 'made', ShardCount: 1 },
  DeleteStream: { StreamName },
  DescribeStream: { StreamName },
  DescribeStreamSummary: { StreamName },
  ListStreams: {},
  ListShards: { StreamName },
  PutRecord: { StreamName, Data: 'YQ==', PartitionKey: 'a' },
  PutRecords: { StreamName, Records: [{ Data: 'YQ==', PartitionKey: 'a' }] },
  GetShardIterator: { StreamName, ShardId, ShardIteratorType: 'LATEST' },
  GetRecords: { ShardIterator: 'x' },
  SplitShard: { StreamName, ShardToSplit: ShardId, NewStartingHashKey: '1000' },
  MergeShards: { StreamName, ShardToMerge: ShardId, AdjacentShardToMerge: ShardId },
  UpdateShardCount: { StreamName, TargetShardCount: 1, ScalingType: 'UNIFORM_SCALING' },
  IncreaseStreamRetentionPeriod: { StreamName, RetentionPeriodHours: 48 },
  DecreaseStreamRetentionPeriod: { StreamName, RetentionPeriodHours: 24 },
  UpdateMaxRecordSize: { StreamARN: `arn:aws:kinesis:us-east-1:000000000000:stream/${StreamName}`, MaxRecordSizeInKiB: 2048 },
};

const operations = Object.keys(VALID) as (keyof typeof requests)[];
const REFUSALS = /^(SerializationException|ValidationException|InvalidArgumentException|ResourceNotFoundException)$/;

describe('the API reference', () => {
  const started = sharedStream();
  let stream: LocalStream;
  before(async () => {
    stream = await started();
  });

  test('each member of each supported operation is known by its name', () => {
    assert.ok(inputs.size > 30, String(inputs.size));
    for (const operation of operations)
      assert.deepEqual(
        Object.keys(requests[operation]).sort(),
        membersOf(inputs.get(operation) ?? [])
          .map(([name]) => name)
          .sort(),
        operation,
      );
  });

  test('operations that are not supported are refused by name', async () => {
    const others = [...inputs.keys()].filter((name) => !Object.hasOwn(requests, name));
    assert.ok(others.includes('SubscribeToShard') && others.includes('AddTagsToStream'), String(others));
    for (const operation of [...others, 'NoSuchOperation', 'toString', '__proto__', '']) {
      const answer = await askJson(stream.endpoint, operation, {});
      assert.deepEqual([answer.status, typeOf(answer)], [400, 'UnknownOperationException'], operation);
    }
  });

  test('no member takes a value of another type, and none is ignored', async () => {
    /** What a member of this schema takes of VALUES (it may be refused all the same). */
    const takes = (schema: unknown): string[] => {
      if (schema === 0) return ['text'];
      if (schema === 1) return ['number'];
      if (schema === 2) return ['boolean'];
      if (schema === 21) return ['text'];
      if (schema === 4 || schema === 5 || schema === 6 || schema === 7) return ['number', 'fraction'];
      if (isSchema(schema, 3)) return ['structure'];
      return ['list', 'structure'];
    };
    let tried = 0;
    const tryAll = async (operation: string, structure: Schema, request: (value: object) => object): Promise<void> => {
      for (const [name, schema] of membersOf(structure)) {
        const takesTypes = takes(schema);
        for (const [type, value] of Object.entries(VALUES)) {
          if (takesTypes.includes(type)) continue;
          const answer = await askJson(stream.endpoint, operation, request({ [name]: value }));
          const isRefused = answer.status === 400 && REFUSALS.test(typeOf(answer));
          assert.ok(isRefused, `${operation}.${name} = ${JSON.stringify(value)}: ${JSON.stringify(answer.body)}`);
          tried += 1;
        }
      }
      const unknown = await askJson(stream.endpoint, operation, request({ Streamname: 'x' }));
      assert.deepEqual([unknown.status, typeOf(unknown)], [400, 'ValidationException'], operation);
    };
    for (const operation of operations) {
      const valid = VALID[operation];
      await tryAll(operation, inputs.get(operation) ?? [], (extra) => ({ ...valid, ...extra }));
    }
    await tryAll('PutRecords', sdk.PutRecordsRequestEntry$, (extra) => ({
      StreamName,
      Records: [{ Data: 'YQ==', PartitionKey: 'a', ...extra }],
    }));
    await tryAll('ListShards', sdk.ShardFilter$, (extra) => ({ StreamName, ShardFilter: { Type: 'AT_LATEST', ...extra } }));
    await tryAll('CreateStream', sdk.StreamModeDetails$, (extra) => ({
      StreamName: 'made',
      ShardCount: 1,
      StreamModeDetails: { StreamMode: 'PROVISIONED', ...extra },
    }));
    assert.ok(tried > 300, String(tried));
    assert.equal((await askJson(stream.endpoint, 'DescribeStream', { StreamName: 'made' })).status, 400, 'nothing was created');
  });

  test('a member that must be there is required', async () => {
    for (const operation of operations)
      for (const name of Object.keys(VALID[operation])) {
        if (name === 'StreamName' && operation !== 'CreateStream') continue;
        const answer = await askJson(stream.endpoint, operation, { ...VALID[operation], [name]: null });
        assert.match(typeOf(answer), /^(ValidationException|InvalidArgumentException)$/, `${operation} without ${name}`);
      }
  });

  test('answers contain the members of the reference only, and all required ones', async () => {
    const check = (structure: Schema, value: Record<string, unknown>, where: string): void => {
      const members = new Map(membersOf(structure));
      for (const [name, one] of Object.entries(value)) {
        assert.ok(members.has(name), `${where}.${name} is not in the reference`);
        const schema = members.get(name);
        if (isSchema(schema, 3)) check(schema, one as Record<string, unknown>, `${where}.${name}`);
        const item = isSchema(schema, 1) ? resolved(schema[4]) : undefined;
        if (isSchema(item, 3)) for (const each of one as Record<string, unknown>[]) check(item, each, `${where}.${name}[]`);
      }
      const required = (structure[4] as string[]).slice(0, Number(structure[6] ?? 0));
      for (const name of required) assert.ok(Object.hasOwn(value, name), `${where}.${name} is missing`);
    };
    const ask = async (operation: keyof typeof requests, input: object): Promise<Record<string, unknown>> => {
      const { status, body } = await askJson(stream.endpoint, operation, input);
      assert.equal(status, 200, `${operation}: ${JSON.stringify(body)}`);
      const output = outputs.get(operation);
      if (output === undefined) assert.deepEqual(body, {}, operation);
      else check(output, body, operation);
      return body;
    };
    for (const operation of ['PutRecord', 'PutRecords', 'CreateStream', 'ListStreams', 'DescribeStream'] as const)
      await ask(operation, VALID[operation]);
    const { ShardIterator } = await ask('GetShardIterator', { StreamName, ShardId, ShardIteratorType: 'TRIM_HORIZON' });
    for (const operation of ['SplitShard', 'DescribeStreamSummary', 'ListShards', 'IncreaseStreamRetentionPeriod'] as const)
      await ask(operation, VALID[operation]);
    const { ChildShards } = await ask('GetRecords', { ShardIterator });
    assert.ok(Array.isArray(ChildShards), 'a closed shard names its children');
    for (const operation of ['DecreaseStreamRetentionPeriod', 'UpdateMaxRecordSize'] as const)
      await ask(operation, VALID[operation]);
    await ask('MergeShards', {
      StreamName,
      ShardToMerge: 'shardId-000000000001',
      AdjacentShardToMerge: 'shardId-000000000002',
    });
    await ask('UpdateShardCount', { ...VALID.UpdateShardCount, TargetShardCount: 2 });
    await ask('DeleteStream', { StreamName: 'made' });
  });
});
