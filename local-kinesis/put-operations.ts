/** PutRecord and PutRecords: routing by MD5, limits of the shards, partial failures inside a 200. */
import type { Faults } from './faults.ts';
import type { GroupCommit } from './group-commit.ts';
import { asInput, bytes, list, optionalText, streamName, text, type Input } from './input.ts';
import { invalidArgument, KinesisError, throttled, validation } from './kinesis-error.ts';
import { ShardLimits } from './limits.ts';
import { sequenceNumberOf } from './sequence-numbers.ts';
import { hashKeyOf, MAX_HASH_KEY, shardIdOf, type ShardRow, type Store, type StreamRow } from './store.ts';

const RECORDS_MAX = 500;
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

  #entry(stream: StreamRow, input: Input): Entry {
    const partitionKey = text(input, 'PartitionKey');
    const keyLength = Array.from(partitionKey).length;
    if (keyLength < 1 || keyLength > 256)
      throw validation(
        `1 validation error detected: Value at 'PartitionKey' failed to satisfy constraint: Member must have length between 1 and 256`,
      );
    const explicit = optionalText(input, 'ExplicitHashKey');
    if (explicit !== undefined && (!/^(0|[1-9]\d{0,38})$/.test(explicit) || BigInt(explicit) > MAX_HASH_KEY))
      throw invalidArgument(
        `Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was ${explicit}`,
      );
    const data = bytes(input, 'Data');
    const size = data.length + Buffer.byteLength(partitionKey);
    const max = stream.max_record_kib * 1024;
    if (size > max)
      throw validation(
        `1 validation error detected: Value at 'Data' failed to satisfy constraint: Member must have length less than or equal to ${max}`,
      );
    return { partitionKey, hashKey: explicit === undefined ? hashKeyOf(partitionKey) : BigInt(explicit), data, bytes: size };
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
    const taken: { index: number; shard: ShardRow; partitionKey: string; data: Buffer }[] = [];
    const open = this.#store.openShards(stream);
    for (const [index, entry] of entries.entries()) {
      const shard = this.#shardFor(open, entry.hashKey);
      const fault = this.#faults.recordFault(entry.partitionKey, shard.number);
      if (fault !== undefined) outcomes[index] = fault;
      else if (this.#admits(shard, entry.bytes)) taken.push({ index, shard, partitionKey: entry.partitionKey, data: entry.data });
      else
        outcomes[index] = {
          ErrorCode: 'ProvisionedThroughputExceededException',
          ErrorMessage: `Rate exceeded for shard ${shardIdOf(shard.number)} in stream ${stream.name} under account 000000000000.`,
        };
    }
    if (taken.length > 0) {
      const ids = await this.#commit.run(() => this.#store.append(taken));
      for (const [at, { index, shard }] of taken.entries())
        outcomes[index] = { SequenceNumber: sequenceNumberOf(ids[at] ?? 0), ShardId: shardIdOf(shard.number) };
    }
    return outcomes;
  }

  async putRecord(input: Input): Promise<object> {
    const stream = this.#store.stream(streamName(input));
    const [outcome] = await this.#put(stream, [this.#entry(stream, input)]);
    if (outcome === undefined || outcome.ErrorCode === 'InternalFailure')
      throw new KinesisError('InternalFailure', 'Internal service failure.', 500);
    if (outcome.ErrorCode !== undefined) throw throttled(outcome.ErrorMessage);
    return outcome;
  }

  async putRecords(input: Input): Promise<object> {
    const stream = this.#store.stream(streamName(input));
    const records = list(input, 'Records');
    if (records.length < 1 || records.length > RECORDS_MAX)
      throw validation(
        "1 validation error detected: Value at 'records' failed to satisfy constraint: " +
          `Member must have length less than or equal to ${RECORDS_MAX}`,
      );
    const entries = records.map((record) => this.#entry(stream, asInput(record)));
    const most = stream.max_record_kib > DEFAULT_RECORD_KIB ? LARGE_REQUEST_BYTES_MAX : REQUEST_BYTES_MAX;
    if (entries.reduce((sum, entry) => sum + entry.bytes, 0) > most)
      throw invalidArgument(`Records size exceeds ${most / 1024 / 1024} MB limit`);
    const outcomes = await this.#put(stream, entries);
    return { FailedRecordCount: outcomes.filter(({ ErrorCode }) => ErrorCode !== undefined).length, Records: outcomes };
  }
}
