/**
 * What a strap may send without being asked: heart rates, values of its battery, requests. A strap sends a heart rate about once a second.
 * One that sends as much as the radio allows, some hundred small packets or some ten large ones a second, would fill queue and stream with
 * readings that nobody's heart has made, and use the air time of the others.
 */
import type { Traffic } from '../radio/radio.ts';

const KIB = 1024;
/** Packets: more than twice what a strap of 10 Hz sends that repeats each value. Bytes: so many packets of the default MTU. */
const PER_SECOND: Traffic = { packets: 50, bytes: 2 * KIB };
/** A strap may catch up after an interference, and a recorded workout of 40 minutes may be sent at once. */
const AT_ONCE: Traffic = { packets: 2500, bytes: 64 * KIB };
const ALLOWED = `more than ${PER_SECOND.packets} packets or ${PER_SECOND.bytes / KIB} KiB a second are not accepted for long`;

/** The budget of one strap, over all its links: a new link is no new budget. */
export class PacketBudget {
  #left: Traffic = AT_ONCE;
  #counted: Traffic = { packets: 0, bytes: 0 };
  #atMs: number | undefined;

  /** What the next link sends is counted from 0. */
  newLink(): void {
    this.#counted = { packets: 0, bytes: 0 };
  }

  /**
   * `total`: what this link has sent so far; `nowMs`: performance.now(). To be called about once a second. Returns what it sent, in words,
   * if that is too much.
   */
  exceeded(total: Traffic, nowMs: number): string | undefined {
    const seconds = this.#atMs === undefined ? 0 : (nowMs - this.#atMs) / 1000;
    const sent = { packets: total.packets - this.#counted.packets, bytes: total.bytes - this.#counted.bytes };
    const leftOf = (what: keyof Traffic): number =>
      Math.min(AT_ONCE[what], this.#left[what] + seconds * PER_SECOND[what]) - sent[what];
    const left = { packets: leftOf('packets'), bytes: leftOf('bytes') };
    this.#atMs = nowMs;
    this.#counted = { packets: total.packets, bytes: total.bytes };
    // Not below 0: an operator may connect it again at once, and it may have been restarted.
    this.#left = { packets: Math.max(0, left.packets), bytes: Math.max(0, left.bytes) };
    if (left.packets >= 0 && left.bytes >= 0) return undefined;
    return `it sent ${sent.packets} packets of ${sent.bytes} bytes within ${seconds.toFixed(1)} s; ${ALLOWED}`;
  }
}
