/** Reads a stream with GetRecords of the AWS SDK, without the product's own reader. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent } from 'node:http';
import { GetRecordsCommand, GetShardIteratorCommand, KinesisClient, ListShardsCommand } from '@aws-sdk/client-kinesis';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import type { Reading } from '../../../../contract/reading.ts';

/** A record of the stream is a complete reading of the contract. */
export type StreamReading = Reading;

/** A client of a local stream. */
export function clientOf(endpoint: string, options: { maxAttempts?: number } = {}): KinesisClient {
  return new KinesisClient({
    ...options,
    endpoint,
    region: 'us-east-1',
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    requestHandler: new NodeHttpHandler({ httpAgent: new Agent({ keepAlive: false }) }),
  });
}

/** Five reads per second and shard are allowed, and others read, too. */
async function whenThrottled(error: unknown): Promise<undefined> {
  if (!(error instanceof Error) || error.name !== 'ProvisionedThroughputExceededException') throw error;
  await sleep(250);
}

/** All readings of a stream from its oldest record on. */
export async function readAll(endpoint: string, stream = 'hr-data-stream'): Promise<StreamReading[]> {
  const client = clientOf(endpoint);
  try {
    const readings: StreamReading[] = [];
    const { Shards = [] } = await client.send(new ListShardsCommand({ StreamName: stream }));
    for (const { ShardId } of Shards) {
      let iterator = (
        await client.send(new GetShardIteratorCommand({ StreamName: stream, ShardId, ShardIteratorType: 'TRIM_HORIZON' }))
      ).ShardIterator;
      while (iterator !== undefined) {
        const answer = await client.send(new GetRecordsCommand({ ShardIterator: iterator, Limit: 10_000 })).catch(whenThrottled);
        if (answer === undefined) continue;
        for (const record of answer.Records ?? [])
          readings.push(JSON.parse(Buffer.from(record.Data ?? []).toString()) as StreamReading);
        if ((answer.Records ?? []).length === 0 && (answer.MillisBehindLatest ?? 0) === 0) break;
        iterator = answer.NextShardIterator;
      }
    }
    return readings;
  } finally {
    client.destroy();
  }
}
