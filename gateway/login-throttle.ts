/**
 * Slows down failed logins per address: an address has one password checked at a time; after some failures it has to wait, longer each
 * time, and its logins are refused unchecked meanwhile. Service keys, and passwords that were verified before, do not pass through here:
 * behind Docker all clients share one address, and a client that guesses must not lock out the others.
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

  /** Runs `check` when it is this address's turn. Returns undefined without running it while the address has to wait. */
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

  /** Counts a failure. Returns for how many milliseconds to delay the answer. */
  failed(address: string): number {
    const before = this.#failures.get(address);
    const nowMs = this.#now();
    // Refused unchecked: the wait is not extended, so that it ends for a user who then gives the right password.
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
