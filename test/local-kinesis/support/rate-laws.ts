/** The laws of the contract on how often an operation may be called. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  CreateStreamCommand,
  DeleteStreamCommand,
  DescribeStreamCommand,
  DescribeStreamSummaryCommand,
  GetShardIteratorCommand,
  IncreaseStreamRetentionPeriodCommand,
  KinesisClient,
  ListStreamsCommand,
  MergeShardsCommand,
  SplitShardCommand,
} from '@aws-sdk/client-kinesis';
import { made, nameOf, type Law } from './law-stream.ts';

const RATE_ERRORS = ['LimitExceededException', 'ProvisionedThroughputExceededException'];
const ShardId = 'shardId-000000000000';

/** Sends one request of an operation. It need not succeed: a call that is refused for another reason counts as well. */
type Call = (client: KinesisClient, StreamName: string) => Promise<unknown>;

/** [calls per second, error, call] */
const RATES: Readonly<Record<string, readonly [number, string, Call]>> = {
  CreateStream: [5, 'LimitExceededException', (c, StreamName) => c.send(new CreateStreamCommand({ StreamName, ShardCount: 1 }))],
  DeleteStream: [5, 'LimitExceededException', (c) => c.send(new DeleteStreamCommand({ StreamName: 'none-such' }))],
  DescribeStream: [10, 'LimitExceededException', (c, StreamName) => c.send(new DescribeStreamCommand({ StreamName }))],
  DescribeStreamSummary: [
    20,
    'LimitExceededException',
    (c, StreamName) => c.send(new DescribeStreamSummaryCommand({ StreamName })),
  ],
  ListStreams: [5, 'LimitExceededException', (c) => c.send(new ListStreamsCommand({}))],
  SplitShard: [
    5,
    'LimitExceededException',
    (c, StreamName) => c.send(new SplitShardCommand({ StreamName, ShardToSplit: ShardId, NewStartingHashKey: '0' })),
  ],
  MergeShards: [
    5,
    'LimitExceededException',
    (c, StreamName) => c.send(new MergeShardsCommand({ StreamName, ShardToMerge: ShardId, AdjacentShardToMerge: ShardId })),
  ],
  IncreaseStreamRetentionPeriod: [
    5,
    'LimitExceededException',
    (c, StreamName) => c.send(new IncreaseStreamRetentionPeriodCommand({ StreamName, RetentionPeriodHours: 48 })),
  ],
  GetShardIterator: [
    5,
    'ProvisionedThroughputExceededException',
    (c, StreamName) => c.send(new GetShardIteratorCommand({ StreamName, ShardId, ShardIteratorType: 'LATEST' })),
  ],
};

/** The same client, which does not try again. */
async function once(client: KinesisClient): Promise<KinesisClient> {
  const { credentials, region, requestHandler } = client.config;
  const { protocol, hostname, port } = (await client.config.endpoint?.()) ?? {};
  return new KinesisClient({
    endpoint: `${protocol ?? 'http:'}//${hostname ?? ''}:${port ?? ''}`,
    credentials,
    region,
    requestHandler,
    maxAttempts: 1,
  });
}

export const rateLaws: Readonly<Record<string, Law>> = Object.fromEntries(
  Object.entries(RATES).map(([operation, [perSecond, error, call]]): [string, Law] => [
    `${operation} may be called ${perSecond} times a second`,
    async (client) => {
      const StreamName = await made(client);
      const hasty = await once(client);
      // Calls of other laws no longer count.
      await sleep(1100);
      const startedMs = performance.now();
      const names = await Promise.all(Array.from({ length: perSecond * 3 }, async () => await nameOf(call(hasty, StreamName))));
      const seconds = (performance.now() - startedMs) / 1000;
      const accepted = names.filter((name) => !RATE_ERRORS.includes(name)).length;
      assert.ok(
        accepted >= perSecond && accepted <= Math.ceil(perSecond * (1 + seconds)),
        `${accepted} calls were accepted within ${seconds.toFixed(2)} s`,
      );
      assert.deepEqual([...new Set(names.filter((name) => RATE_ERRORS.includes(name)))], [error]);
      await sleep(1100);
      assert.ok(!RATE_ERRORS.includes(await nameOf(call(hasty, StreamName))), 'a second later it may be called again');
    },
  ]),
);
