/**
 * What a strap may send without being asked: heart rates, values of its battery, requests. A strap sends a heart rate about once a second.
 * One that sends as much as the radio allows, some hundred packets a second, would fill queue and stream with readings that nobody's heart
 * has made, and use the air time of the others.
 */
/** More than twice what a strap of 10 Hz sends that repeats each value. */
const PACKETS_PER_SECOND = 50;
/** A strap may catch up after an interference, and a recorded workout may be sent at once. */
const PACKETS_AT_ONCE = 2500;

/** The budget of one strap, over all its links: a new link is no new budget. */
export class PacketBudget {
  #left = PACKETS_AT_ONCE;
  #counted = 0;
  #at: number | undefined;

  /** The packets of the next link are counted from 0. */
  newLink(): void {
    this.#counted = 0;
  }

  /**
   * `total`: packets of this link so far; `now`: performance.now(). To be called about once a second. Returns how many it sent, in words,
   * if that is too much.
   */
  exceeded(total: number, now: number): string | undefined {
    const seconds = this.#at === undefined ? 0 : (now - this.#at) / 1000;
    const sent = total - this.#counted;
    this.#at = now;
    this.#counted = total;
    this.#left = Math.min(PACKETS_AT_ONCE, this.#left + seconds * PACKETS_PER_SECOND) - sent;
    if (this.#left >= 0) return undefined;
    // An operator may connect it again at once, and it may have been restarted.
    this.#left = 0;
    return `it sent ${sent} packets within ${seconds.toFixed(1)} s; more than ${PACKETS_PER_SECOND} a second are not accepted for long`;
  }
}
