/** PutRecord and PutRecords: routing by MD5, limits of the shards, partial failures inside a 200. */
import type { Faults } from './faults.ts';
import type { GroupCommit } from './group-commit.ts';
import { ACCOUNT, dryRun, invalidArgument, KinesisError, notFound, throttled, validation } from './kinesis-error.ts';
import { ShardLimits } from './limits.ts';
import { idOfSequenceNumber, sequenceNumberOf } from './sequence-numbers.ts';
import { MAX_HASH_KEY, shardIdOf, type ShardRow } from './shards.ts';
import { hashKeyOf, type Store, type StreamRow } from './store.ts';
import { streamOf } from './stream-names.ts';
import type { RequestOf } from './wire/requests.ts';

const REQUEST_BYTES_MAX = 5 * 1024 * 1024;
/** For a stream whose records may be larger than 1 MiB. */
const LARGE_REQUEST_BYTES_MAX = 10 * 1024 * 1024;
const DEFAULT_RECORD_KIB = 1024;

interface Entry {
  partitionKey: string;
  hashKey: bigint;
  data: Buffer;
  bytes: number;
}
type Outcome = { SequenceNumber: string; ShardId: string; ErrorCode?: undefined } | { ErrorCode: string; ErrorMessage: string };

const INTERNAL_FAILURE: Outcome = { ErrorCode: 'InternalFailure', ErrorMessage: 'Internal service failure.' };

export class PutOperations {
  readonly #store: Store;
  readonly #commit: GroupCommit;
  readonly #faults: Faults;
  readonly #enforce: boolean;
  readonly #limits = new Map<number, ShardLimits>();

  constructor(options: { store: Store; commit: GroupCommit; faults: Faults; enforceLimits: boolean }) {
    this.#store = options.store;
    this.#commit = options.commit;
    this.#faults = options.faults;
    this.#enforce = options.enforceLimits;
  }

  #entry(
    stream: StreamRow,
    { PartitionKey, ExplicitHashKey: explicit, Data }: RequestOf<'PutRecords'>['Records'][number],
  ): Entry {
    if (explicit !== undefined && BigInt(explicit) > MAX_HASH_KEY)
      throw invalidArgument(
        `Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was ${explicit}`,
      );
    const size = Data.length + Buffer.byteLength(PartitionKey);
    const max = stream.max_record_kib * 1024;
    if (size > max)
      throw validation(
        `1 validation error detected: Value at 'data' failed to satisfy constraint: Member must have length less than or equal to ${max}`,
      );
    const hashKey = explicit === undefined ? hashKeyOf(PartitionKey) : BigInt(explicit);
    return { partitionKey: PartitionKey, hashKey, data: Data, bytes: size };
  }

  #shardFor(open: readonly ShardRow[], hashKey: bigint): ShardRow {
    const shard =
      open.length === 1 ? open[0] : open.find(({ start_hash, end_hash }) => hashKey >= start_hash && hashKey <= end_hash);
    if (shard === undefined) throw invalidArgument('No open shard covers the hash key.');
    return shard;
  }

  #admits(shard: ShardRow, size: number): boolean {
    if (!this.#enforce) return true;
    let limits = this.#limits.get(shard.id);
    if (limits === undefined) this.#limits.set(shard.id, (limits = new ShardLimits()));
    return limits.admits(size);
  }

  async #put(stream: StreamRow, entries: readonly Entry[]): Promise<Outcome[]> {
    const outcomes: Outcome[] = [];
    const taken: { index: number; entry: Entry }[] = [];
    const open = this.#store.openShards(stream);
    for (const [index, entry] of entries.entries()) {
      const shard = this.#shardFor(open, entry.hashKey);
      const fault = this.#faults.recordFault(entry.partitionKey, shard.number);
      if (fault !== undefined) outcomes[index] = fault;
      else if (this.#admits(shard, entry.bytes)) taken.push({ index, entry });
      else
        outcomes[index] = {
          ErrorCode: 'ProvisionedThroughputExceededException',
          ErrorMessage: `Rate exceeded for shard ${shardIdOf(shard.number)} in stream ${stream.name} under account ${ACCOUNT}.`,
        };
    }
    if (taken.length === 0) return outcomes;
    const stored = await this.#commit.run(() =>
      this.#append(
        stream,
        taken.map(({ entry }) => entry),
      ),
    );
    if (stored === undefined) throw notFound(stream.name);
    for (const [at, { index }] of taken.entries()) outcomes[index] = stored[at] ?? INTERNAL_FAILURE;
    return outcomes;
  }

  /**
   * Stores records in the shards that are open at the commit: one that was open when the request came may be closed, and read to its end,
   * by now. Undefined if the stream was deleted meanwhile.
   */
  #append(stream: StreamRow, entries: readonly Entry[]): Outcome[] | undefined {
    const open = this.#store.openShards(stream);
    if (open.length === 0) return undefined;
    const records = entries.map((entry) => ({ ...entry, shard: this.#shardFor(open, entry.hashKey) }));
    const ids = this.#store.append(records);
    return records.map(({ shard }, index) => ({
      SequenceNumber: sequenceNumberOf(ids[index] ?? 0),
      ShardId: shardIdOf(shard.number),
    }));
  }

  async putRecord(input: RequestOf<'PutRecord'>): Promise<object> {
    const stream = streamOf(this.#store, input);
    const entry = this.#entry(stream, input);
    const after = input.SequenceNumberForOrdering;
    // The next sequence number is above all that were issued, so nothing else is to be done.
    if (after !== undefined && (idOfSequenceNumber(after) ?? Infinity) >= this.#store.nextId)
      throw invalidArgument(
        `SequenceNumberForOrdering ${after} used in PutRecord on stream ${stream.name} under account ${ACCOUNT} is invalid because it ` +
          'did not come from this stream.',
      );
    if (input.DryRun === true) throw dryRun();
    const [outcome] = await this.#put(stream, [entry]);
    if (outcome === undefined || outcome.ErrorCode === 'InternalFailure')
      throw new KinesisError('InternalFailure', 'Internal service failure.', 500);
    if (outcome.ErrorCode !== undefined) throw throttled(outcome.ErrorMessage);
    return outcome;
  }

  async putRecords(input: RequestOf<'PutRecords'>): Promise<object> {
    const stream = streamOf(this.#store, input);
    const entries = input.Records.map((record) => this.#entry(stream, record));
    const most = stream.max_record_kib > DEFAULT_RECORD_KIB ? LARGE_REQUEST_BYTES_MAX : REQUEST_BYTES_MAX;
    if (entries.reduce((sum, entry) => sum + entry.bytes, 0) > most)
      throw invalidArgument(`Records size exceeds ${most / 1024 / 1024} MB limit`);
    if (input.DryRun === true) throw dryRun();
    const outcomes = await this.#put(stream, entries);
    return { FailedRecordCount: outcomes.filter(({ ErrorCode }) => ErrorCode !== undefined).length, Records: outcomes };
  }
}
