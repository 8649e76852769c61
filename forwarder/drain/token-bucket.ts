/** Paces what leaves to what the open shards take: sends that would be throttled are never made. */

/** A little below the limits of a shard, so that our clock and theirs may differ. */
const RECORDS_PER_SHARD = 950;
const BYTES_PER_SHARD = 0.95 * 1_048_576;

export class TokenBucket {
  readonly #now: () => number;
  #shards: number | null = 1;
  #records = RECORDS_PER_SHARD;
  #bytes = BYTES_PER_SHARD;
  #at: number;

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

  #refill(): void {
    const now = this.#now();
    const seconds = (now - this.#at) / 1000;
    this.#at = now;
    const shards = this.#shards ?? 0;
    this.#records = Math.min(RECORDS_PER_SHARD * shards, this.#records + RECORDS_PER_SHARD * shards * seconds);
    this.#bytes = Math.min(BYTES_PER_SHARD * shards, this.#bytes + BYTES_PER_SHARD * shards * seconds);
  }

  /** How many of `wanted` records may leave now. */
  available(wanted: number): number {
    if (this.#shards === null) return wanted;
    this.#refill();
    return this.#bytes <= 0 ? 0 : Math.max(0, Math.min(wanted, Math.floor(this.#records)));
  }

  take(records: number, bytes: number): void {
    if (this.#shards === null) return;
    this.#records -= records;
    this.#bytes -= bytes;
  }

  /** Until so many records (at most a bucket full) may leave, in milliseconds. */
  waitMs(records: number): number {
    if (this.#shards === null) return 0;
    this.#refill();
    const want = Math.min(records, RECORDS_PER_SHARD * this.#shards);
    const forRecords = (want - this.#records) / (RECORDS_PER_SHARD * this.#shards);
    const forBytes = -this.#bytes / (BYTES_PER_SHARD * this.#shards);
    return Math.max(0, Math.ceil(Math.max(forRecords, forBytes) * 1000));
  }
}
