/**
 * Which shards are read, and from where. A shard is opened only after its parents were read to their end, so the records of a key keep
 * their order through splits and merges. A position advances after the consumer has received the record, and not before.
 */
import { ListShardsCommand, type KinesisClient, type Shard } from '@aws-sdk/client-kinesis';

/** The position in each shard: shard id → last sequence number. The caller stores it and passes it in at the next start. */
export type Checkpoint = Record<string, string>;

export type ShardStart =
  | { type: 'AFTER_SEQUENCE_NUMBER'; sequenceNumber: string }
  | { type: 'AT_TIMESTAMP'; timestamp: Date }
  | { type: 'TRIM_HORIZON' }
  | { type: 'LATEST' };

export interface ShardsOptions {
  stream: string;
  from: 'oldest' | 'now';
  checkpoint?: Checkpoint;
}

const LIST_EVERY_MS = 5000;

/** The member of a request that says which stream is meant, by name or ARN. */
export const streamNamed = (stream: string): { StreamName: string } | { StreamARN: string } =>
  stream.startsWith('arn:') ? { StreamARN: stream } : { StreamName: stream };

async function listShards(client: KinesisClient, stream: string): Promise<Shard[]> {
  const shards: Shard[] = [];
  let token: string | undefined;
  do {
    const answer = await client.send(new ListShardsCommand(token === undefined ? streamNamed(stream) : { NextToken: token }));
    shards.push(...(answer.Shards ?? []));
    token = answer.NextToken;
  } while (token !== undefined);
  return shards;
}

export class Shards {
  readonly #client: KinesisClient;
  readonly #options: ShardsOptions;
  readonly #positions: Checkpoint;
  readonly #finished = new Set<string>();
  readonly #closed = new Set<string>();
  /** Shards that are being read. `latestSince`: when a shard without a position was opened at its newest record. */
  readonly #open = new Map<string, { latestSince: Date | undefined }>();
  #listedAt: number | undefined;
  #startedAt: Date | undefined;

  constructor(client: KinesisClient, options: ShardsOptions) {
    this.#client = client;
    this.#options = options;
    this.#positions = options.checkpoint ?? {};
  }

  /** Shards that may be read from now on. Lists the stream at the start, when a shard has ended, and every five seconds. */
  async opened(): Promise<string[]> {
    if (this.#listedAt !== undefined && performance.now() - this.#listedAt < LIST_EVERY_MS) return [];
    const first = this.#startedAt === undefined;
    this.#startedAt ??= new Date();
    const shards = await listShards(this.#client, this.#options.stream);
    this.#listedAt = performance.now();
    const known = new Set(shards.map(({ ShardId }) => ShardId));
    const opened: string[] = [];
    for (const shard of shards) {
      const id = shard.ShardId ?? '';
      const isClosed = shard.SequenceNumberRange?.EndingSequenceNumber !== undefined;
      if (isClosed) this.#closed.add(id);
      if (this.#open.has(id) || this.#finished.has(id)) continue;
      const fresh = first && this.#options.from === 'now' && this.#positions[id] === undefined;
      if (fresh && isClosed) {
        this.#finished.add(id);
        continue;
      }
      const parents = [shard.ParentShardId, shard.AdjacentParentShardId].filter(
        (parent): parent is string => parent !== undefined && known.has(parent),
      );
      if (!parents.every((parent) => this.#finished.has(parent))) continue;
      // A shard that appears later is the child of one that was read, so it is read from its beginning.
      this.#open.set(id, { latestSince: fresh ? this.#startedAt : undefined });
      opened.push(id);
    }
    return opened;
  }

  /** Where to continue reading this shard. `again`: it was opened before, so LATEST would skip records by now. */
  startOf(id: string, again: boolean): ShardStart {
    const sequenceNumber = this.#positions[id];
    if (sequenceNumber !== undefined) return { type: 'AFTER_SEQUENCE_NUMBER', sequenceNumber };
    const since = this.#open.get(id)?.latestSince;
    if (since === undefined) return { type: 'TRIM_HORIZON' };
    return again ? { type: 'AT_TIMESTAMP', timestamp: since } : { type: 'LATEST' };
  }

  /** The consumer has received this record. Records after it are read again after a restart. */
  consumed(id: string, sequenceNumber: string): void {
    this.#positions[id] = sequenceNumber;
  }

  /** The shard was read to its end: its children may be opened. */
  finish(id: string): void {
    this.#open.delete(id);
    this.#finished.add(id);
    this.listAgain();
  }

  /** The next `opened` lists the stream. */
  listAgain(): void {
    this.#listedAt = undefined;
  }

  /** The shard was split or merged: it receives no more records. */
  isClosed(id: string): boolean {
    return this.#closed.has(id);
  }

  /** A shard has ended, and the stream was not listed since. */
  get unlisted(): boolean {
    return this.#listedAt === undefined;
  }
}
