/**
 * Paces sending to what the open shards accept, in records and in bytes, so that requests are not throttled. Keys may not be spread
 * evenly over the shards, so throttling still happens; it lowers the rate for a while.
 */

/** Slightly below the limits of a shard, to allow for different clocks. */
const RECORDS_PER_SHARD = 950;
const BYTES_PER_SHARD = 0.95 * 1_048_576;
/** The rate never falls below this share of the shards' limits, and by at most half at once, since a burst may just have bunched up. */
const LEAST_SHARE = 0.05;
const LEAST_FACTOR = 0.5;
/** Growth of the rate per second, as a share of the shards' limits: fast to slightly below the last throttling, slowly beyond. */
const FAST_BACK_PER_SECOND = 0.3;
const SLOW_BACK_PER_SECOND = 0.02;
const BELOW_LIMIT = 0.95;

export class TokenBucket {
  readonly #now: () => number;
  #shards: number | null = 1;
  #records = RECORDS_PER_SHARD;
  #bytes = BYTES_PER_SHARD;
  #share = 1;
  /** Slightly below the share at which throttling last happened. */
  #knee = 1;
  #at: number;
  #loweredAt = Number.NEGATIVE_INFINITY;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#at = now();
  }

  /** Open shards; null: not limited by shards. */
  setShards(shards: number | null): void {
    this.#refill();
    this.#shards = shards;
  }

  get shards(): number | null {
    return this.#shards;
  }

  get #recordsPerSecond(): number {
    return RECORDS_PER_SHARD * (this.#shards ?? 0) * this.#share;
  }

  get #bytesPerSecond(): number {
    return BYTES_PER_SHARD * (this.#shards ?? 0) * this.#share;
  }

  #refill(): void {
    const now = this.#now();
    const seconds = (now - this.#at) / 1000;
    this.#at = now;
    if (this.#share < 1) {
      const fast = Math.min(this.#knee, this.#share + FAST_BACK_PER_SECOND * seconds);
      this.#share = Math.min(1, Math.max(fast, this.#share + SLOW_BACK_PER_SECOND * seconds));
    }
    this.#records = Math.min(this.#recordsPerSecond, this.#records + this.#recordsPerSecond * seconds);
    this.#bytes = Math.min(this.#bytesPerSecond, this.#bytes + this.#bytesPerSecond * seconds);
  }

  /** Records and bytes that may be sent now. */
  available(): { records: number; bytes: number } {
    if (this.#shards === null) return { records: Number.POSITIVE_INFINITY, bytes: Number.POSITIVE_INFINITY };
    this.#refill();
    return { records: Math.max(0, Math.floor(this.#records)), bytes: Math.max(0, this.#bytes) };
  }

  take(records: number, bytes: number): void {
    if (this.#shards === null) return;
    this.#records -= records;
    this.#bytes -= bytes;
  }

  /** Milliseconds until this many records and bytes (at most a full bucket of each) may be sent. */
  waitMs(records: number, bytes: number): number {
    if (this.#shards === null) return 0;
    this.#refill();
    const forRecords = (Math.min(records, Math.floor(this.#recordsPerSecond)) - this.#records) / this.#recordsPerSecond;
    const forBytes = (Math.min(bytes, this.#bytesPerSecond) - this.#bytes) / this.#bytesPerSecond;
    return Math.max(0, Math.ceil(Math.max(forRecords, forBytes) * 1000));
  }

  /** Of a request that began at `startedAt`, `throttled` of `sent` records were throttled: the rate falls by that share. */
  lower({ throttled, sent, startedAt }: { throttled: number; sent: number; startedAt: number }): void {
    // Requests that were in flight together hit the same limit: it counts once.
    if (this.#shards === null || throttled === 0 || startedAt < this.#loweredAt) return;
    this.#refill();
    this.#loweredAt = this.#now();
    this.#knee = this.#share * BELOW_LIMIT;
    this.#share = Math.max(LEAST_SHARE, this.#share * Math.max(LEAST_FACTOR, 1 - throttled / sent));
    this.#records = Math.min(this.#records, 0);
  }
}
