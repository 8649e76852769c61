/**
 * Reads a stream: `for await (const { reading } of readStream(client, { from: 'oldest' }))`, over all shards, parents before their children,
 * so that resharding keeps each key's order. Plain and aggregated records. The reader goes only as fast as its consumer.
 */
import type { KinesisClient } from '@aws-sdk/client-kinesis';
import { fanOut } from './fan-out.ts';
import { poll } from './poll.ts';
import { Shards, type Checkpoint } from './shards.ts';
import type { StreamRecord } from './stream-record.ts';

export type { Checkpoint } from './shards.ts';
export type { StreamRecord } from './stream-record.ts';

export interface ReadStreamOptions {
  /** Name of the stream; `hr-data-stream` where none is given. */
  stream?: string;
  /** Where a shard without a checkpoint begins. */
  from: 'oldest' | 'now';
  /** Filled in place while the stream is read, a record after the consumer has had it; at the next start reading goes on from there. */
  checkpoint?: Checkpoint;
  signal?: AbortSignal;
  /** How long an idle stream rests, in ms; 5 reads a second a shard are allowed. */
  pollMs?: number;
  /** Most records that one read of a shard asks for, and so holds in memory: 1-10,000, which is the default. */
  recordsPerRead?: number;
  /** Ends when everything that is in the stream was read. */
  untilCaughtUp?: boolean;
  /**
   * Enhanced fan-out: ARN of a registered consumer (RegisterStreamConsumer, or the template's `EnhancedFanOut`); the stream then pushes. It costs a
   * fee, and needs HTTP/2 with AWS: the client must have the SDK's own request handler.
   */
  consumerArn?: string;
}

const POLL_MS = 300;
const RECORDS_PER_READ = 10_000;

/**
 * Reads all records of a stream until the signal is aborted. Throws what the SDK throws after its own retries, throttling and expired iterators
 * aside; called again with the same checkpoint it goes on.
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
