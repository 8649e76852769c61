/**
 * Slows failed logins down per address: one password of an address is looked at at a time, after some failures an address waits, ever
 * longer, and what it tries meanwhile is refused unseen. Service keys, and passwords that were right before, do not come here: behind
 * Docker all clients share one address, and a guessing one must not lock the others out.
 */
export class LoginThrottle {
  readonly #failures = new Map<string, { count: number; untilMs: number }>();
  readonly #turns = new Map<string, Promise<unknown>>();
  readonly #now: () => number;
  static readonly #FREE = 5;
  static readonly #ADDRESSES_MAX = 1000;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Runs `check` when it is this address's turn; undefined, and not run, while the address waits for its failures. */
  async inTurn<T>(address: string, check: () => Promise<T>): Promise<T | undefined> {
    const before = this.#turns.get(address) ?? Promise.resolve();
    const turn = before.then(async () => ((this.#failures.get(address)?.untilMs ?? 0) > this.#now() ? undefined : await check()));
    const settled = turn.catch(() => undefined);
    this.#turns.set(address, settled);
    try {
      return await turn;
    } finally {
      if (this.#turns.get(address) === settled) this.#turns.delete(address);
    }
  }

  /** Counts a failure; how long the answer to it is held back, in milliseconds. */
  failed(address: string): number {
    const before = this.#failures.get(address);
    const nowMs = this.#now();
    // Refused unseen: the wait it ran into is not prolonged, so that it ends for one who then gives the right password.
    if (before !== undefined && before.untilMs > nowMs) return before.untilMs - nowMs;
    const count = (before?.count ?? 0) + 1;
    this.#failures.delete(address);
    if (this.#failures.size >= LoginThrottle.#ADDRESSES_MAX) {
      const oldest = this.#failures.keys().next().value;
      if (oldest !== undefined) this.#failures.delete(oldest);
    }
    const delayMs = count <= LoginThrottle.#FREE ? 0 : Math.min(10_000, 250 * 2 ** (count - LoginThrottle.#FREE - 1));
    this.#failures.set(address, { count, untilMs: nowMs + delayMs });
    return delayMs;
  }

  succeeded(address: string): void {
    this.#failures.delete(address);
  }
}
