/**
 * The limits of a shard (Kinesis quotas): 1,000 records/s and 1 MB/s in, 2 MB/s and 5 calls/s out, in bursts of up to one second's
 * worth.
 */
import { TokenBucket } from '../service/pacing/token-bucket.ts';

const RECORDS_PER_SECOND = 1000;
const BYTES_IN_PER_SECOND = 1_048_576;
const BYTES_OUT_PER_SECOND = 2_097_152;
const READS_PER_SECOND = 5;

export class ShardLimits {
  readonly #records: TokenBucket;
  readonly #bytesIn: TokenBucket;
  readonly #bytesOut: TokenBucket;
  readonly #reads: TokenBucket;

  /** `now`: milliseconds of a monotonic clock. */
  constructor(now?: () => number) {
    this.#records = new TokenBucket(RECORDS_PER_SECOND, now);
    this.#bytesIn = new TokenBucket(BYTES_IN_PER_SECOND, now);
    this.#bytesOut = new TokenBucket(BYTES_OUT_PER_SECOND, now);
    this.#reads = new TokenBucket(READS_PER_SECOND, now);
  }

  /** Admits one record, or returns false if the shard's limit is reached. A record over one second's worth needs a full bucket. */
  admits(bytes: number): boolean {
    if (!this.#records.has(1) || !this.#bytesIn.has(bytes)) return false;
    this.#records.take(1);
    this.#bytesIn.take(bytes);
    return true;
  }

  /** True if a read may begin. Its bytes are charged afterwards and may overdraw the limit: one call may return 10 MB. */
  admitsRead(): boolean {
    if (!this.#reads.has(1) || !this.#bytesOut.has(1)) return false;
    this.#reads.take(1);
    return true;
  }

  chargeRead(bytes: number): void {
    this.#bytesOut.take(bytes);
  }
}
