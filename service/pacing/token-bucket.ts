/** A token bucket that holds one second's worth and is refilled continuously. */
export class TokenBucket {
  readonly #perSecond: number;
  readonly #now: () => number;
  #tokens: number;
  #refilledAtMs: number;

  /** `now` returns milliseconds of a monotonic clock. The bucket is full at first. */
  constructor(perSecond: number, now: () => number = () => performance.now()) {
    this.#perSecond = perSecond;
    this.#now = now;
    this.#tokens = perSecond;
    this.#refilledAtMs = now();
  }

  #refill(): void {
    const nowMs = this.#now();
    this.#tokens = Math.min(this.#perSecond, this.#tokens + ((nowMs - this.#refilledAtMs) * this.#perSecond) / 1000);
    this.#refilledAtMs = nowMs;
  }

  /** True if the bucket holds `amount`. An amount over one second's worth is let through by a full bucket, which `take` then overdraws. */
  has(amount: number): boolean {
    this.#refill();
    return this.#tokens >= Math.min(amount, this.#perSecond);
  }

  /** Takes `amount`, whether or not the bucket holds it. */
  take(amount: number): void {
    this.#refill();
    this.#tokens -= amount;
  }

  /** Milliseconds until an overdrawn bucket is back at zero; 0 if it is not overdrawn. */
  get overdrawnMs(): number {
    this.#refill();
    return this.#tokens >= 0 ? 0 : (-this.#tokens / this.#perSecond) * 1000;
  }
}
