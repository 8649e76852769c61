/** The laws of the contract on ShardFilter, lineage, tokens and members of requests. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import {
  CreateStreamCommand,
  DeleteStreamCommand,
  DescribeStreamCommand,
  DescribeStreamSummaryCommand,
  GetShardIteratorCommand,
  ListShardsCommand,
  PutRecordCommand,
  SplitShardCommand,
  UpdateShardCountCommand,
  type ShardFilter,
} from '@aws-sdk/client-kinesis';
import { active, HALF, made, nameOf, put, shards, type Law } from './law-stream.ts';

export const requestLaws: Readonly<Record<string, Law>> = {
  'each type of ShardFilter selects its shards': async (client) => {
    const StreamName = await made(client);
    const ShardToSplit = 'shardId-000000000000';
    await client.send(new SplitShardCommand({ StreamName, ShardToSplit, NewStartingHashKey: HALF.toString() }));
    await active(client, StreamName);
    const numbers = async (ShardFilter: ShardFilter): Promise<number[]> =>
      ((await client.send(new ListShardsCommand({ StreamName, ShardFilter }))).Shards ?? []).map(({ ShardId }) =>
        Number(ShardId?.split('-')[1]),
      );
    const Timestamp = new Date(Date.now() + 50);
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.deepEqual(await numbers({ Type: 'AT_LATEST' }), [1, 2]);
    assert.deepEqual(await numbers({ Type: 'FROM_TRIM_HORIZON' }), [0, 1, 2]);
    assert.deepEqual(await numbers({ Type: 'AFTER_SHARD_ID', ShardId: 'shardId-000000000001' }), [2]);
    assert.deepEqual(await numbers({ Type: 'AT_TRIM_HORIZON' }), [0]);
    assert.deepEqual(await numbers({ Type: 'AT_TIMESTAMP', Timestamp }), [1, 2]);
    assert.deepEqual(await numbers({ Type: 'FROM_TIMESTAMP', Timestamp }), [1, 2]);
    assert.deepEqual(await numbers({ Type: 'FROM_TIMESTAMP', Timestamp: new Date(0) }), [0, 1, 2]);
  },

  'a ShardFilter needs the members of its type, and takes no others': async (client) => {
    const StreamName = await made(client);
    const ShardId = 'shardId-000000000000';
    for (const ShardFilter of [
      { Type: 'AFTER_SHARD_ID' },
      { Type: 'AT_TIMESTAMP' },
      { Type: 'FROM_TIMESTAMP' },
      { Type: 'AT_LATEST', ShardId },
      { Type: 'AT_TRIM_HORIZON', Timestamp: new Date() },
      { Type: 'FROM_TIMESTAMP', Timestamp: new Date(), ShardId },
    ] satisfies ShardFilter[])
      assert.match(
        await nameOf(client.send(new ListShardsCommand({ StreamName, ShardFilter }))),
        /InvalidArgumentException|ValidationException/,
        JSON.stringify(ShardFilter),
      );
  },

  'UpdateShardCount to any count leaves shards whose parents are complete': async (client) => {
    const StreamName = await made(client, 2);
    for (const TargetShardCount of [3, 5, 4]) {
      await client.send(new UpdateShardCountCommand({ StreamName, TargetShardCount, ScalingType: 'UNIFORM_SCALING' }));
      await active(client, StreamName);
    }
    const all = await shards(client, StreamName);
    for (const shard of all) {
      const parents = all.filter(({ id }) => id === shard.parent || id === shard.adjacent);
      const children = all.filter(({ parent, adjacent }) => parent === shard.id || adjacent === shard.id);
      assert.equal(children.length > 0, !shard.open, `${shard.id} has children if it is closed`);
      for (const [whole, parts] of [
        [shard, parents],
        [shard, children],
      ] as const) {
        if (parts.length === 0) continue;
        let next = parts.reduce((least, { from }) => (from < least ? from : least), 2n ** 128n);
        assert.ok(next <= whole.from, `${whole.id} begins within its parents and children`);
        for (const { from, to } of [...parts].sort((a, b) => (a.from < b.from ? -1 : 1))) {
          assert.equal(from, next, `the parents, and the children, of ${whole.id} have no hole between`);
          next = to + 1n;
        }
        assert.ok(next > whole.to, `${whole.id} ends within its parents and children`);
      }
    }
    assert.equal(all.filter(({ open }) => open).length, 4);
  },

  'a token names its stream alone, and only tokens that were issued are taken': async (client) => {
    const StreamName = await made(client, 2);
    const { NextToken } = await client.send(new ListShardsCommand({ StreamName, MaxResults: 1 }));
    assert.equal(await nameOf(client.send(new ListShardsCommand({ StreamName, NextToken }))), 'InvalidArgumentException');
    assert.equal(await nameOf(client.send(new ListShardsCommand({ NextToken: 'anything' }))), 'InvalidArgumentException');
  },

  'a stream is named by its ARN, and not by two names': async (client) => {
    const [StreamName, other] = [await made(client), await made(client)];
    const arn = (await client.send(new DescribeStreamSummaryCommand({ StreamName }))).StreamDescriptionSummary?.StreamARN;
    assert.equal((await client.send(new ListShardsCommand({ StreamARN: arn }))).Shards?.length, 1);
    assert.equal(await nameOf(client.send(new PutRecordCommand({ StreamARN: arn, ...put('x') }))), 'none');
    assert.match(
      await nameOf(client.send(new ListShardsCommand({ StreamName: other, StreamARN: arn }))),
      /InvalidArgumentException|ValidationException/,
    );
    assert.match(
      await nameOf(client.send(new DescribeStreamSummaryCommand({ StreamARN: arn?.replace(/:\d{12}:/, ':999999999999:') }))),
      /ResourceNotFoundException|AccessDeniedException/,
    );
    assert.match(await nameOf(client.send(new DescribeStreamSummaryCommand({}))), /InvalidArgumentException|ValidationException/);
  },

  'an iterator needs what its type begins at, and takes nothing else': async (client) => {
    const StreamName = await made(client);
    const { SequenceNumber } = await client.send(new PutRecordCommand({ StreamName, ...put('x') }));
    for (const request of [
      { ShardIteratorType: 'LATEST', StartingSequenceNumber: SequenceNumber },
      { ShardIteratorType: 'AT_SEQUENCE_NUMBER' },
      { ShardIteratorType: 'AT_TIMESTAMP' },
      { ShardIteratorType: 'AFTER_SEQUENCE_NUMBER', StartingSequenceNumber: '7' },
    ] as const)
      assert.equal(
        await nameOf(client.send(new GetShardIteratorCommand({ StreamName, ShardId: 'shardId-000000000000', ...request }))),
        'InvalidArgumentException',
        JSON.stringify(request),
      );
  },

  'DescribeStream returns at most 100 shards, ListShards at most 1,000': async (client) => {
    const StreamName = await made(client, 101);
    const { StreamDescription } = await client.send(new DescribeStreamCommand({ StreamName, Limit: 10_000 }));
    assert.deepEqual([StreamDescription?.Shards?.length, StreamDescription?.HasMoreShards], [100, true]);
    assert.equal((await client.send(new ListShardsCommand({ StreamName, MaxResults: 10_000 }))).Shards?.length, 101);
    await client.send(new DeleteStreamCommand({ StreamName }));
  },

  'a stream that asks for what is not there is not created': async (client) => {
    const StreamName = `s-${randomUUID().slice(0, 8)}`;
    assert.match(
      await nameOf(client.send(new CreateStreamCommand({ StreamName, StreamModeDetails: { StreamMode: 'PROVISIONED' } }))),
      /InvalidArgumentException|ValidationException/,
    );
    assert.equal(await nameOf(client.send(new DescribeStreamSummaryCommand({ StreamName }))), 'ResourceNotFoundException');
  },
};
