/**
 * Slows failed logins down per address: after some failures an address waits, ever longer. A right key is always let in: behind
 * Docker all clients share one address, and a guessing one must not lock the services out.
 */
export class LoginThrottle {
  readonly #failures = new Map<string, { count: number; untilMs: number }>();
  readonly #now: () => number;
  static readonly #FREE = 5;
  static readonly #ADDRESSES_MAX = 1000;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** How long the answer to a failed login is held back, in milliseconds. */
  failed(address: string): number {
    const before = this.#failures.get(address);
    const count = (before?.count ?? 0) + 1;
    this.#failures.delete(address);
    if (this.#failures.size >= LoginThrottle.#ADDRESSES_MAX) {
      const oldest = this.#failures.keys().next().value;
      if (oldest !== undefined) this.#failures.delete(oldest);
    }
    const delayMs = count <= LoginThrottle.#FREE ? 0 : Math.min(10_000, 250 * 2 ** (count - LoginThrottle.#FREE - 1));
    this.#failures.set(address, { count, untilMs: this.#now() + delayMs });
    return delayMs;
  }

  succeeded(address: string): void {
    this.#failures.delete(address);
  }
}
