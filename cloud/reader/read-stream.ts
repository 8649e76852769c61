/**
 * Reads a stream: `for await (const record of readStream(client, { stream, from }))`, over all shards, parents before their children, so
 * that resharding keeps each key's order. Plain and aggregated records. The reader goes only as fast as its consumer.
 */
import { GetRecordsCommand, GetShardIteratorCommand, ListShardsCommand, type KinesisClient, type Shard, type ShardIteratorType } from '@aws-sdk/client-kinesis';
import { deaggregate } from '../aggregation.ts';

export interface StreamRecord {
  partitionKey: string;
  data: Buffer;
  shardId: string;
  sequenceNumber: string;
  arrivedAt: Date;
}

/** Where each shard was read to: shard id → the last sequence number. Kept by the caller, given back at the next start. */
export type Checkpoint = Record<string, string>;

export interface ReadStreamOptions {
  stream: string;
  /** Where a shard without a checkpoint begins. */
  from: 'oldest' | 'now';
  checkpoint?: Checkpoint;
  signal?: AbortSignal;
  /** How long an idle shard rests; 5 reads a second a shard are allowed. */
  pollMs?: number;
  /** Ends when everything that is in the stream was read. */
  untilCaughtUp?: boolean;
}

const POLL_MS = 300;
const RESHARD_EVERY_MS = 5000;

async function listShards(client: KinesisClient, stream: string): Promise<Shard[]> {
  const shards: Shard[] = [];
  let token: string | undefined;
  do {
    const answer = await client.send(new ListShardsCommand(token === undefined ? { StreamName: stream } : { NextToken: token }));
    shards.push(...(answer.Shards ?? []));
    token = answer.NextToken;
  } while (token !== undefined);
  return shards;
}

interface ShardReading {
  id: string;
  iterator: string | undefined;
  caughtUp: boolean;
}

const isThrottled = (error: unknown): boolean => error instanceof Error && (error.name === 'ProvisionedThroughputExceededException' || error.name === 'LimitExceededException');

async function rest(ms: number, signal: AbortSignal | undefined): Promise<void> {
  await new Promise<void>((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener('abort', done);
    if (signal?.aborted === true) done();
  });
}

class StreamReader {
  readonly #client: KinesisClient;
  readonly #options: ReadStreamOptions;
  readonly #finished = new Set<string>();
  readonly #reading = new Map<string, ShardReading>();
  #first = true;
  #listedAt = Number.NEGATIVE_INFINITY;

  constructor(client: KinesisClient, options: ReadStreamOptions) {
    this.#client = client;
    this.#options = options;
  }

  /** Opens shards whose parents are read to their end. */
  async open(): Promise<void> {
    if (performance.now() - this.#listedAt < RESHARD_EVERY_MS) return;
    this.#listedAt = performance.now();
    const shards = await listShards(this.#client, this.#options.stream);
    const known = new Set(shards.map(({ ShardId }) => ShardId));
    for (const shard of shards) {
      const id = shard.ShardId ?? '';
      if (this.#reading.has(id) || this.#finished.has(id)) continue;
      const parents = [shard.ParentShardId, shard.AdjacentParentShardId].filter((parent): parent is string => parent !== undefined && known.has(parent));
      if (this.#first && this.#options.from === 'now' && shard.SequenceNumberRange?.EndingSequenceNumber !== undefined && this.#options.checkpoint?.[id] === undefined) {
        this.#finished.add(id);
        continue;
      }
      if (parents.every((parent) => this.#finished.has(parent))) this.#reading.set(id, { id, iterator: await this.#iterator(id), caughtUp: false });
    }
    this.#first = false;
  }

  async #iterator(shardId: string): Promise<string | undefined> {
    const { stream, checkpoint, from } = this.#options;
    const at = checkpoint?.[shardId];
    // A shard that appears later is read from its beginning: it is the child of one that was read.
    const type: ShardIteratorType = at !== undefined ? 'AFTER_SEQUENCE_NUMBER' : from === 'oldest' || !this.#first ? 'TRIM_HORIZON' : 'LATEST';
    const answer = await this.#client.send(new GetShardIteratorCommand({ StreamName: stream, ShardId: shardId, ShardIteratorType: type, ...(at === undefined ? {} : { StartingSequenceNumber: at }) }));
    return answer.ShardIterator;
  }

  get caughtUp(): boolean {
    return [...this.#reading.values()].every(({ caughtUp }) => caughtUp);
  }

  /** One read of every open shard. */
  async *round(): AsyncGenerator<StreamRecord> {
    for (const shard of Array.from(this.#reading.values())) {
      if (this.#options.signal?.aborted === true) return;
      try {
        yield* this.#read(shard);
      } catch (error) {
        if (error instanceof Error && error.name === 'ExpiredIteratorException') shard.iterator = await this.#iterator(shard.id);
        else if (!isThrottled(error)) throw error;
      }
    }
  }

  async *#read(shard: ShardReading): AsyncGenerator<StreamRecord> {
    const answer = await this.#client.send(new GetRecordsCommand({ ShardIterator: shard.iterator }));
    const records = answer.Records ?? [];
    for (const record of records) {
      const sequenceNumber = record.SequenceNumber ?? '';
      for (const { partitionKey, data } of deaggregate(record.PartitionKey ?? '', Buffer.from(record.Data ?? []))) yield { partitionKey, data, shardId: shard.id, sequenceNumber, arrivedAt: record.ApproximateArrivalTimestamp ?? new Date(0) };
      // After the consumer has had it: what it did not get is read again.
      if (this.#options.checkpoint !== undefined) this.#options.checkpoint[shard.id] = sequenceNumber;
    }
    shard.iterator = answer.NextShardIterator;
    shard.caughtUp = records.length === 0 && (answer.MillisBehindLatest ?? 0) === 0;
    if (shard.iterator !== undefined) return;
    this.#reading.delete(shard.id);
    this.#finished.add(shard.id);
    this.#listedAt = Number.NEGATIVE_INFINITY;
  }
}

/** Reads all records of a stream until the signal is aborted. Throws what the SDK throws, throttling and expired iterators aside. */
export async function* readStream(client: KinesisClient, options: ReadStreamOptions): AsyncGenerator<StreamRecord> {
  const reader = new StreamReader(client, options);
  while (options.signal?.aborted !== true) {
    await reader.open();
    let any = false;
    for await (const record of reader.round()) {
      any = true;
      yield record;
    }
    if (options.untilCaughtUp === true && !any && reader.caughtUp) return;
    await rest(any ? 210 : (options.pollMs ?? POLL_MS), options.signal);
  }
}
