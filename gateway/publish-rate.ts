/** The publish rate of one client: how long the broker stops reading from a client that exceeds it. */
import { TokenBucket } from '../service/pacing/token-bucket.ts';

const HOLD_MAX_MS = 5000;

export class PublishRate {
  readonly #bucket: TokenBucket;

  constructor(perSecond: number, now?: () => number) {
    this.#bucket = new TokenBucket(perSecond, now);
  }

  /** Counts a message. Returns for how many milliseconds the client must not be read: 0 within its rate. */
  take(): number {
    this.#bucket.take(1);
    return Math.min(HOLD_MAX_MS, this.#bucket.overdrawnMs);
  }
}
