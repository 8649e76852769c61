/**
 * Reads a stream: `for await (const { reading } of readStream(client, { from: 'oldest' }))`. Reads all shards, parents before their
 * children, so that resharding keeps the order of each key; plain and aggregated records; and only as fast as its consumer.
 */
import type { KinesisClient } from '@aws-sdk/client-kinesis';
import { fanOut } from './fan-out.ts';
import { poll } from './poll.ts';
import { Shards, type Checkpoint } from './shards.ts';
import type { StreamRecord } from './stream-record.ts';

export type { Checkpoint } from './shards.ts';
export type { StreamRecord } from './stream-record.ts';

export interface ReadStreamOptions {
  /** Name or ARN of the stream; the default is `hr-data-stream`. */
  stream?: string;
  /** Where a shard without a checkpoint begins. */
  from: 'oldest' | 'now';
  /** Updated in place after the consumer has received a record; the next start continues from there. */
  checkpoint?: Checkpoint;
  signal?: AbortSignal;
  /** Time between reads of an idle stream; 5 reads per second and shard are allowed. */
  pollMs?: number;
  /** Records per read of a shard, which are held in memory: 1-10,000 (the default). */
  recordsPerRead?: number;
  /** Ends once everything in the stream was read. */
  untilCaughtUp?: boolean;
  /**
   * Enhanced fan-out: ARN of a registered consumer (RegisterStreamConsumer, or the template's `EnhancedFanOut`); the stream then pushes.
   * AWS charges for it, and it needs HTTP/2: the client must have the SDK's own request handler.
   */
  consumerArn?: string;
}

const POLL_MS = 300;
const RECORDS_PER_READ = 10_000;

/**
 * Reads all records of a stream until the signal is aborted. Throws the SDK's errors after its own retries, except throttling and expired
 * iterators; a call with the same checkpoint continues.
 */
export async function* readStream(client: KinesisClient, options: ReadStreamOptions): AsyncGenerator<StreamRecord> {
  const {
    stream = 'hr-data-stream',
    from,
    checkpoint,
    signal,
    pollMs = POLL_MS,
    recordsPerRead = RECORDS_PER_READ,
    untilCaughtUp = false,
    consumerArn,
  } = options;
  const shards = new Shards(client, { stream, from, ...(checkpoint === undefined ? {} : { checkpoint }) });
  yield* consumerArn === undefined
    ? poll(client, shards, { stream, pollMs, recordsPerRead, untilCaughtUp, signal })
    : fanOut(client, shards, { stream, recordsPerRead, consumerArn, untilCaughtUp, signal });
}
