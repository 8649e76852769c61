/** A shard's limits (Kinesis quotas): 1,000 records/s and 1 MB/s in, 2 MB/s and 5 calls/s out; a second's worth may come at once. */
const RECORDS_PER_SECOND = 1000;
const BYTES_IN_PER_SECOND = 1_048_576;
const BYTES_OUT_PER_SECOND = 2_097_152;
const READS_PER_SECOND = 5;

class Bucket {
  readonly #perSecond: number;
  #left: number;
  #at = performance.now();

  constructor(perSecond: number) {
    this.#perSecond = perSecond;
    this.#left = perSecond;
  }

  #refill(): void {
    const now = performance.now();
    this.#left = Math.min(this.#perSecond, this.#left + ((now - this.#at) * this.#perSecond) / 1000);
    this.#at = now;
  }

  /** A record larger than a second's worth goes when the bucket is full, and leaves it below zero: streams of large records have such bursts. */
  has(amount: number): boolean {
    this.#refill();
    return this.#left >= Math.min(amount, this.#perSecond);
  }

  take(amount: number): void {
    this.#left -= amount;
  }
}

export class ShardLimits {
  readonly #records = new Bucket(RECORDS_PER_SECOND);
  readonly #bytesIn = new Bucket(BYTES_IN_PER_SECOND);
  readonly #bytesOut = new Bucket(BYTES_OUT_PER_SECOND);
  readonly #reads = new Bucket(READS_PER_SECOND);

  /** Takes one record in, or says that the shard is full for now. */
  admits(bytes: number): boolean {
    if (!this.#records.has(1) || !this.#bytesIn.has(bytes)) return false;
    this.#records.take(1);
    this.#bytesIn.take(bytes);
    return true;
  }

  /** True where a read may begin; its bytes are charged afterwards and may go below zero, as one call may return 10 MB. */
  admitsRead(): boolean {
    if (!this.#reads.has(1) || !this.#bytesOut.has(1)) return false;
    this.#reads.take(1);
    return true;
  }

  chargeRead(bytes: number): void {
    this.#bytesOut.take(bytes);
  }
}
