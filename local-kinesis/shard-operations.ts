/** ListShards, SplitShard, MergeShards and UpdateShardCount. */
import { invalidArgument, limitExceeded } from './kinesis-error.ts';
import { pageOf, pageToken } from './page-token.ts';
import type { RequestRates } from './request-rates.ts';
import { sequenceNumberOf } from './sequence-numbers.ts';
import { checkFilter, selectShards, type ShardFilter } from './shard-filter.ts';
import { MAX_HASH_KEY, shardIdOf, type ShardRow } from './shards.ts';
import type { Store, StreamRow } from './store.ts';
import { arnOf, nameOfArn, streamOf } from './stream-names.ts';
import type { RequestOf } from './wire/requests.ts';

/** The open shards of all streams: Kinesis' limit of an account in us-east-1. */
export const SHARDS_MAX = 20_000;
/** UpdateShardCount makes at most this many of a stream. */
const SCALED_MAX = 10_000;
/** ListShards returns at most this many, whatever MaxResults says. */
const PAGE_MAX = 1000;
/** UpdateShardCount: so often within 24 hours. */
const SCALINGS_MAX = 10;
const DAY_MS = 24 * 3_600_000;

export function shardDescription(shard: ShardRow): object {
  return {
    ShardId: shardIdOf(shard.number),
    ...(shard.parent === null ? {} : { ParentShardId: shardIdOf(shard.parent) }),
    ...(shard.adjacent_parent === null ? {} : { AdjacentParentShardId: shardIdOf(shard.adjacent_parent) }),
    HashKeyRange: { StartingHashKey: shard.start_hash.toString(), EndingHashKey: shard.end_hash.toString() },
    SequenceNumberRange: {
      StartingSequenceNumber: sequenceNumberOf(shard.first_id),
      ...(shard.last_id === null ? {} : { EndingSequenceNumber: sequenceNumberOf(shard.last_id) }),
    },
  };
}

interface Page {
  stream: StreamRow;
  filter: ShardFilter | undefined;
  /** The shard id after which the page begins. */
  after: string;
}

export class ShardOperations {
  readonly #store: Store;
  readonly #rates: RequestRates;
  readonly #enforce: boolean;

  constructor(options: { store: Store; rates: RequestRates; enforceLimits: boolean }) {
    this.#store = options.store;
    this.#rates = options.rates;
    this.#enforce = options.enforceLimits;
  }

  listShards(input: RequestOf<'ListShards'>): object {
    const { stream, filter, after } =
      input.NextToken === undefined ? this.#firstPage(input) : this.#nextPage(input, input.NextToken);
    this.#rates.countStreamCall('ListShards', stream.name);
    const limit = Math.min(input.MaxResults ?? PAGE_MAX, PAGE_MAX);
    const all = this.#store.shards(stream);
    const selected = filter === undefined ? all : selectShards(all, filter, this.#store.horizonId(stream));
    const rest = selected.filter(({ number }) => shardIdOf(number) > after);
    const page = rest.slice(0, limit);
    const last = page.at(-1);
    return {
      Shards: page.map((shard) => shardDescription(shard)),
      ...(rest.length > limit && last !== undefined
        ? {
            NextToken: pageToken('shards', [
              stream.name,
              stream.created_ms,
              shardIdOf(last.number),
              filter?.Type ?? null,
              filter?.ShardId ?? null,
              filter?.Timestamp ?? null,
            ]),
          }
        : {}),
    };
  }

  #firstPage(input: RequestOf<'ListShards'>): Page {
    const stream = streamOf(this.#store, input);
    const createdMs = input.StreamCreationTimestamp;
    // In whole seconds: some clients cut the fraction off.
    if (createdMs !== undefined && Math.floor(createdMs / 1000) !== Math.floor(stream.created_ms / 1000))
      throw invalidArgument(`Stream ${stream.name} was not created at ${new Date(createdMs).toISOString()}.`);
    if (input.ShardFilter !== undefined) {
      if (input.ExclusiveStartShardId !== undefined)
        throw invalidArgument('ExclusiveStartShardId and ShardFilter must not be specified together.');
      checkFilter(input.ShardFilter);
    }
    return { stream, filter: input.ShardFilter, after: input.ExclusiveStartShardId ?? '' };
  }

  #nextPage(input: RequestOf<'ListShards'>, token: string): Page {
    for (const other of ['StreamName', 'ExclusiveStartShardId', 'StreamCreationTimestamp', 'ShardFilter'] as const)
      if (input[other] !== undefined) throw invalidArgument(`NextToken and ${other} must not be specified together.`);
    const [name, createdMs, after, Type, ShardId, Timestamp] = pageOf('shards', token);
    const stream = this.#store.stream(String(name));
    if (stream.created_ms !== createdMs || (input.StreamARN !== undefined && nameOfArn(input.StreamARN) !== name))
      throw invalidArgument('NextToken is of another stream.');
    const filter =
      Type === null ? undefined : ({ Type, ShardId: ShardId ?? undefined, Timestamp: Timestamp ?? undefined } as ShardFilter);
    return { stream, filter, after: String(after) };
  }

  splitShard(input: RequestOf<'SplitShard'>): object {
    const stream = streamOf(this.#store, input);
    const at = BigInt(input.NewStartingHashKey);
    if (at > MAX_HASH_KEY) throw invalidArgument(`NewStartingHashKey must be in the range [0, 2^128-1], not ${at}.`);
    const shard = this.#store.shard(stream, input.ShardToSplit);
    this.#checkAccount(1);
    this.#store.splitShard(stream, shard, at);
    return {};
  }

  mergeShards(input: RequestOf<'MergeShards'>): object {
    const stream = streamOf(this.#store, input);
    const shard = this.#store.shard(stream, input.ShardToMerge);
    this.#store.mergeShards(stream, shard, this.#store.shard(stream, input.AdjacentShardToMerge));
    return {};
  }

  updateShardCount(input: RequestOf<'UpdateShardCount'>): object {
    const stream = streamOf(this.#store, input);
    const before = this.#store.openShards(stream).length;
    const count = input.TargetShardCount;
    const counts = `Current open shard count: ${before} Target shard count: ${count}`;
    if (count > before * 2)
      throw invalidArgument(`UpdateShardCount cannot scale up over double your current open shard count. ${counts}`);
    if (count < before / 2)
      throw invalidArgument(`UpdateShardCount cannot scale down below half your current open shard count. ${counts}`);
    if (count > SCALED_MAX)
      throw limitExceeded(`UpdateShardCount cannot scale a stream to more than ${SCALED_MAX} shards. ${counts}`);
    this.#checkAccount(count - before);
    if (this.#enforce && this.#store.scalingsWithin(stream, DAY_MS) >= SCALINGS_MAX)
      throw limitExceeded(`UpdateShardCount can be called ${SCALINGS_MAX} times per stream within 24 hours.`);
    this.#store.scale(stream, count);
    return { StreamName: stream.name, CurrentShardCount: before, TargetShardCount: count, StreamARN: arnOf(stream.name) };
  }

  #checkAccount(more: number): void {
    if (more > 0 && this.#store.openShardCount + more > SHARDS_MAX)
      throw limitExceeded(`This request would exceed the shard limit of account 000000000000: ${SHARDS_MAX} open shards.`);
  }
}
