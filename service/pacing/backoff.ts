/** Backoff with jitter between a lower and an upper bound; the ceiling doubles with each attempt. */
export class Backoff {
  readonly #minMs: number;
  readonly #maxMs: number;
  readonly #random: () => number;
  #attempts = 0;

  constructor(options: { minMs: number; maxMs: number; random?: () => number }) {
    this.#minMs = options.minMs;
    this.#maxMs = options.maxMs;
    this.#random = options.random ?? Math.random;
  }

  get attempts(): number {
    return this.#attempts;
  }

  /** The next delay in ms: between half of the lower bound and the current ceiling, never over the upper bound. */
  nextDelayMs(): number {
    const ceiling = Math.min(this.#maxMs, this.#minMs * 2 ** Math.min(this.#attempts, 30));
    this.#attempts += 1;
    const floor = this.#minMs / 2;
    return Math.min(this.#maxMs, floor + this.#random() * (ceiling - floor));
  }

  reset(): void {
    this.#attempts = 0;
  }
}
