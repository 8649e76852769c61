/**
 * How often each operation may be called, in bursts of up to one second's worth. From Kinesis' developer guide ("Quotas and limits") and
 * its API reference; the stricter one where they differ (SplitShard and MergeShards: per stream, per account). Both name none for
 * UpdateMaxRecordSize. PutRecord, PutRecords and GetRecords are limited by their shards (limits.ts).
 */
import { TokenBucket } from '../service/pacing/token-bucket.ts';
import { ACCOUNT, limitExceeded, throttled, type KinesisError } from './kinesis-error.ts';

interface Rate {
  readonly perSecond: number;
  readonly per: 'account' | 'stream' | 'shard';
}

export const REQUEST_RATES = {
  CreateStream: { perSecond: 5, per: 'account' },
  DeleteStream: { perSecond: 5, per: 'account' },
  DescribeStream: { perSecond: 10, per: 'account' },
  DescribeStreamSummary: { perSecond: 20, per: 'account' },
  ListStreams: { perSecond: 5, per: 'account' },
  SplitShard: { perSecond: 5, per: 'account' },
  MergeShards: { perSecond: 5, per: 'account' },
  UpdateShardCount: { perSecond: 10, per: 'account' },
  IncreaseStreamRetentionPeriod: { perSecond: 5, per: 'stream' },
  DecreaseStreamRetentionPeriod: { perSecond: 5, per: 'stream' },
  ListShards: { perSecond: 1000, per: 'stream' },
  GetShardIterator: { perSecond: 5, per: 'shard' },
} as const satisfies Readonly<Record<string, Rate>>;

export type RatedOperation = keyof typeof REQUEST_RATES;
type RatedBy<Per extends Rate['per']> = {
  [Name in RatedOperation]: (typeof REQUEST_RATES)[Name]['per'] extends Per ? Name : never;
}[RatedOperation];

/** Whether calls of an operation are counted over the whole account. */
export function isRatedByAccount(operation: string): operation is RatedBy<'account'> {
  return Object.hasOwn(REQUEST_RATES, operation) && REQUEST_RATES[operation as RatedOperation].per === 'account';
}

/** The calls of one account. */
export class RequestRates {
  readonly #now: (() => number) | undefined;
  readonly #enforce: boolean;
  readonly #buckets = new Map<string, TokenBucket>();

  /** `now`: milliseconds of a monotonic clock. */
  constructor({ enforce = true, now }: { enforce?: boolean; now?: () => number } = {}) {
    this.#enforce = enforce;
    this.#now = now;
  }

  /** Throws LimitExceededException. */
  countAccountCall(operation: RatedBy<'account'>): void {
    if (!this.#admits(operation, '')) throw limitExceeded(`Rate exceeded for ${operation} under account ${ACCOUNT}.`);
  }

  /** Throws LimitExceededException. */
  countStreamCall(operation: RatedBy<'stream'>, stream: string): void {
    if (!this.#admits(operation, stream)) throw limitExceeded(`Rate exceeded for stream ${stream} under account ${ACCOUNT}.`);
  }

  /** Throws ProvisionedThroughputExceededException. */
  countShardCall(operation: RatedBy<'shard'>, stream: string, shardId: string): void {
    if (!this.#admits(operation, `${stream} ${shardId}`)) throw shardRateExceeded(stream, shardId);
  }

  #admits(operation: RatedOperation, of: string): boolean {
    if (!this.#enforce) return true;
    const key = `${operation} ${of}`;
    let bucket = this.#buckets.get(key);
    if (bucket === undefined) this.#buckets.set(key, (bucket = new TokenBucket(REQUEST_RATES[operation].perSecond, this.#now)));
    if (!bucket.has(1)) return false;
    bucket.take(1);
    return true;
  }
}

export const shardRateExceeded = (stream: string, shardId: string): KinesisError =>
  throttled(`Rate exceeded for shard ${shardId} in stream ${stream} under account ${ACCOUNT}.`);
