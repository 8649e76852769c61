/**
 * A rate that may be overdrawn: what was taken beyond it has to be waited for. The caller passes the time, so that one reading of the
 * clock serves many rates.
 */
export class Rate {
  /** Multiplies the rate: less than 1 while the box is busy. */
  scale = 1;
  readonly #perSecond: number;
  readonly #burst: number;
  #tokens: number;
  #atMs: number;

  /** `burst`: what may be taken at once after a pause. */
  constructor(perSecond: number, burst: number, nowMs: number) {
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#tokens = burst;
    this.#atMs = nowMs;
  }

  /** What may be taken now; 0 or less: nothing. */
  credit(nowMs: number): number {
    if (nowMs > this.#atMs) {
      this.#tokens = Math.min(this.#burst, this.#tokens + ((nowMs - this.#atMs) * this.#perSecond * this.scale) / 1000);
      this.#atMs = nowMs;
    }
    return this.#tokens;
  }

  /** Takes an amount, whether or not it is there. */
  take(amount: number): void {
    this.#tokens -= amount;
  }

  /** Milliseconds until there is credit again; 0 if there is. */
  waitMs(nowMs: number): number {
    const credit = this.credit(nowMs);
    return credit > 0 ? 0 : (1000 * (1 - credit)) / (this.#perSecond * this.scale);
  }
}
