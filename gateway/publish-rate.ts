/** How fast one client publishes: a bucket of one second's messages, refilled all the time. */
export class PublishRate {
  readonly #perSecond: number;
  readonly #now: () => number;
  #tokens: number;
  #atMs: number;

  constructor(perSecond: number, now: () => number = () => performance.now()) {
    this.#perSecond = perSecond;
    this.#now = now;
    this.#tokens = perSecond;
    this.#atMs = now();
  }

  /** Counts a message; how long the client is to be held back, in milliseconds: 0 within its rate. */
  take(): number {
    const nowMs = this.#now();
    this.#tokens = Math.min(this.#perSecond, this.#tokens + ((nowMs - this.#atMs) / 1000) * this.#perSecond);
    this.#atMs = nowMs;
    this.#tokens -= 1;
    return this.#tokens >= 0 ? 0 : Math.min(5000, (-this.#tokens / this.#perSecond) * 1000);
  }
}
