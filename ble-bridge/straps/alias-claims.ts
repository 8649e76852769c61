/**
 * A watch may change its address (a resolvable private address, a factory reset) and is then known only by its name. A new address with the
 * name of an aliased strap is that strap if the former address is not in the air any more, and another strap if both are. Until that is
 * certain the new address is not connected.
 */

/** `same`: the aliased strap has a new address. `apart`: it is another strap of that name. */
export type Claim = 'wait' | 'same' | 'apart';

/** The former address is gone after this long: a strap advertises every 2.5 s or more often (HRP v1.0, 5.1), scans restart every 5 s. */
const GONE_AFTER_MS = 10_000;
/** So much later than the new address the former one proves that there are two straps: the end of its link is noticed after 3 s. */
const TOGETHER_AFTER_MS = 4500;
/** An address that waits and has not advertised for this long is forgotten. */
const FORGET_AFTER_MS = 60_000;
/** Most addresses that wait: anyone who knows the name can advertise any number of them. */
const WAITING_MAX = 100;

export class AliasClaims {
  /** Addresses that wait, with their first and last advertisement (performance.now()). */
  readonly #waiting = new Map<string, { firstAt: number; lastAt: number }>();

  /** True while an address waits: the scan has to report what is in the air. */
  get waiting(): boolean {
    const oldest = performance.now() - FORGET_AFTER_MS;
    for (const [address, { lastAt }] of this.#waiting) if (lastAt < oldest) this.#waiting.delete(address);
    return this.#waiting.size > 0;
  }

  /**
   * Decides about an address that advertises now. `holderSeenAt`: when the aliased strap was last in the air, now while it is connected;
   * -Infinity if it was not in this process. `listeningSince`: since when the radio would have received it.
   */
  decide(address: string, holderSeenAt: number, listeningSince: number, now = performance.now()): Claim {
    const firstAt = this.#waiting.get(address)?.firstAt ?? now;
    if (holderSeenAt > firstAt + TOGETHER_AFTER_MS) return this.#decided(address, 'apart');
    if (now - Math.max(holderSeenAt, listeningSince) > GONE_AFTER_MS) return this.#decided(address, 'same');
    this.#waiting.delete(address);
    this.#waiting.set(address, { firstAt, lastAt: now });
    const [oldest] = this.#waiting.keys();
    if (this.#waiting.size > WAITING_MAX && oldest !== undefined) this.#waiting.delete(oldest);
    return 'wait';
  }

  #decided(address: string, claim: Claim): Claim {
    this.#waiting.delete(address);
    return claim;
  }

  clear(): void {
    this.#waiting.clear();
  }
}
