/** Reads shards by GetRecords, in rounds. All consumers of a stream share 2 MB and 5 reads per second and shard. */
import { GetRecordsCommand, GetShardIteratorCommand, type KinesisClient } from '@aws-sdk/client-kinesis';
import { rest } from './rest.ts';
import { streamNamed, type Shards } from './shards.ts';
import { recordsOf, type StreamRecord } from './stream-record.ts';

export interface PollOptions {
  stream: string;
  pollMs: number;
  recordsPerRead: number;
  untilCaughtUp: boolean;
  signal: AbortSignal | undefined;
}

/** The shortest time between two rounds: five reads per second and shard are allowed. */
export const ROUND_MS = 210;

const isThrottled = (error: unknown): boolean =>
  error instanceof Error && (error.name === 'ProvisionedThroughputExceededException' || error.name === 'LimitExceededException');

/** One shard, read by GetRecords from its last position. */
export class PolledShard {
  readonly id: string;
  readonly #client: KinesisClient;
  readonly #stream: string;
  readonly #recordsPerRead: number;
  readonly #signal: AbortSignal | undefined;
  readonly #shards: Shards;
  #iterator: string | undefined;
  /** A read has reached the newest record: on a stream that is written to all the time, no read is ever empty. */
  caughtUp = false;
  /** Closed, and read to its end. */
  ended = false;

  constructor(
    client: KinesisClient,
    { stream, recordsPerRead, signal }: Pick<PollOptions, 'stream' | 'recordsPerRead' | 'signal'>,
    shards: Shards,
    id: string,
  ) {
    this.#client = client;
    this.#stream = stream;
    this.#recordsPerRead = recordsPerRead;
    this.#signal = signal;
    this.#shards = shards;
    this.id = id;
  }

  /** Gets an iterator. `again`: the shard was opened before. All consumers share five iterators per second and shard. */
  async open(again: boolean): Promise<void> {
    while (this.#signal?.aborted !== true)
      try {
        return await this.#open(again);
      } catch (error) {
        if (!isThrottled(error)) throw error;
        await rest(ROUND_MS, this.#signal);
      }
  }

  async #open(again: boolean): Promise<void> {
    const start = this.#shards.startOf(this.id, again);
    const answer = await this.#client.send(
      new GetShardIteratorCommand({
        ...streamNamed(this.#stream),
        ShardId: this.id,
        ShardIteratorType: start.type,
        ...(start.type === 'AFTER_SEQUENCE_NUMBER' ? { StartingSequenceNumber: start.sequenceNumber } : {}),
        ...(start.type === 'AT_TIMESTAMP' ? { Timestamp: start.timestamp } : {}),
      }),
    );
    this.#iterator = answer.ShardIterator;
  }

  /** One read; it yields nothing if the shard is throttled. */
  async *read(): AsyncGenerator<StreamRecord> {
    try {
      const answer = await this.#client.send(
        new GetRecordsCommand({ ShardIterator: this.#iterator, Limit: this.#recordsPerRead }),
      );
      const records = answer.Records ?? [];
      for (const record of records) {
        yield* recordsOf(this.id, record);
        this.#shards.consumed(this.id, record.SequenceNumber ?? '');
      }
      this.#iterator = answer.NextShardIterator;
      this.caughtUp ||= (answer.MillisBehindLatest ?? 0) === 0;
      this.ended = this.#iterator === undefined;
    } catch (error) {
      // An iterator is valid for five minutes, and the consumer was slower.
      if (error instanceof Error && error.name === 'ExpiredIteratorException') await this.open(true);
      else if (!isThrottled(error)) throw error;
    }
  }
}

/** Yields the records of all shards, as fast as the consumer takes them. */
export async function* poll(client: KinesisClient, shards: Shards, options: PollOptions): AsyncGenerator<StreamRecord> {
  const { pollMs, untilCaughtUp, signal } = options;
  const polled = new Set<PolledShard>();
  const aborted = (): boolean => signal?.aborted === true;
  while (!aborted()) {
    for (const id of await shards.opened()) {
      const shard = new PolledShard(client, options, shards, id);
      await shard.open(false);
      polled.add(shard);
    }
    let any = false;
    for (const shard of polled) {
      if (aborted()) return;
      for await (const record of shard.read()) {
        any = true;
        yield record;
      }
      if (!shard.ended) continue;
      polled.delete(shard);
      shards.finish(shard.id);
    }
    if (untilCaughtUp && !shards.unlisted && [...polled].every(({ caughtUp }) => caughtUp)) return;
    if (!shards.unlisted) await rest(any ? ROUND_MS : pollMs, signal);
  }
}
