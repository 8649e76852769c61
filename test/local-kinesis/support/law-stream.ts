/** What the laws of the contract use of a stream: each law makes its own. */
import { createHash, randomUUID } from 'node:crypto';
import {
  CreateStreamCommand,
  DescribeStreamSummaryCommand,
  GetRecordsCommand,
  GetShardIteratorCommand,
  ListStreamsCommand,
  ListShardsCommand,
  type KinesisClient,
  type ShardIteratorType,
  type _Record,
} from '@aws-sdk/client-kinesis';
import { eventually } from '../../support/eventually.ts';

export type Law = (client: KinesisClient) => Promise<void>;

export const HALF = 2n ** 127n;
export const hashOf = (key: string): bigint => BigInt(`0x${createHash('md5').update(key).digest('hex')}`);
export const text = (record: _Record): string => Buffer.from(record.Data ?? []).toString();
export const put = (data: string, key = 'a'): { Data: Buffer; PartitionKey: string } => ({
  Data: Buffer.from(data),
  PartitionKey: key,
});

export async function active(client: KinesisClient, StreamName: string): Promise<void> {
  await eventually(
    async () =>
      (await client.send(new DescribeStreamSummaryCommand({ StreamName }))).StreamDescriptionSummary?.StreamStatus === 'ACTIVE',
    { everyMs: 50 },
  );
}

export async function made(client: KinesisClient, ShardCount = 1): Promise<string> {
  const StreamName = `s-${randomUUID().slice(0, 8)}`;
  await client.send(new CreateStreamCommand({ StreamName, ShardCount }));
  await active(client, StreamName);
  return StreamName;
}

/** All pages: other laws have made streams, too. */
export async function streamNames(client: KinesisClient): Promise<string[]> {
  const names: string[] = [];
  for (;;) {
    const page = await client.send(new ListStreamsCommand({ ExclusiveStartStreamName: names.at(-1) }));
    names.push(...(page.StreamNames ?? []));
    if (page.HasMoreStreams !== true) return names;
  }
}

export async function nameOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return (error as Error).name;
  }
  return 'none';
}

export interface Reading {
  client: KinesisClient;
  StreamName: string;
  type?: ShardIteratorType;
  ShardId?: string;
  at?: object;
}

export async function read({
  client,
  StreamName,
  type = 'TRIM_HORIZON',
  ShardId = 'shardId-000000000000',
  at = {},
}: Reading): Promise<string[]> {
  const { ShardIterator } = await client.send(
    new GetShardIteratorCommand({ StreamName, ShardId, ShardIteratorType: type, ...at }),
  );
  return ((await client.send(new GetRecordsCommand({ ShardIterator }))).Records ?? []).map(text);
}

export async function shards(
  client: KinesisClient,
  StreamName: string,
): Promise<{ id: string; open: boolean; parent: string | undefined; adjacent: string | undefined; from: bigint; to: bigint }[]> {
  const { Shards = [] } = await client.send(new ListShardsCommand({ StreamName }));
  return Shards.map((shard) => ({
    id: shard.ShardId ?? '',
    open: shard.SequenceNumberRange?.EndingSequenceNumber === undefined,
    parent: shard.ParentShardId,
    adjacent: shard.AdjacentParentShardId,
    from: BigInt(shard.HashKeyRange?.StartingHashKey ?? -1),
    to: BigInt(shard.HashKeyRange?.EndingHashKey ?? -1),
  }));
}
