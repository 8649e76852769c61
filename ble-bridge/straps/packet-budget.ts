/**
 * What a strap may send without being asked: heart rates, values of its battery, requests. A strap sends a heart rate about once a second.
 * One that sends as much as the radio allows, some hundred small packets or some ten large ones a second, would fill queue and stream with
 * readings that nobody's heart has made, and use the air time of the others.
 */
import type { Traffic } from '../radio/radio.ts';

const KIB = 1024;
/** Packets: more than twice what a strap of 10 Hz sends that repeats each value. Bytes: so many packets of the default MTU. */
const PER_SECOND: Traffic = { packets: 50, bytes: 2 * KIB, others: 20 };
/** A strap may catch up after an interference, and a recorded workout of 40 minutes may be sent at once; of the rest it sends little. */
const AT_ONCE: Traffic = { packets: 2500, bytes: 64 * KIB, others: 200 };
const NOTHING: Traffic = { packets: 0, bytes: 0, others: 0 };
const ALLOWED =
  `for long no more is accepted than ${PER_SECOND.packets} packets and ${PER_SECOND.bytes / KIB} KiB a second, ` +
  `and ${PER_SECOND.others} packets other than values`;

const combined = (of: (what: keyof Traffic) => number): Traffic => ({
  packets: of('packets'),
  bytes: of('bytes'),
  others: of('others'),
});

/** The budget of one strap, over all its links: a new link is no new budget. */
export class PacketBudget {
  #left = AT_ONCE;
  #counted = NOTHING;
  #atMs: number | undefined;

  /** What the next link sends is counted from 0. */
  newLink(): void {
    this.#counted = NOTHING;
  }

  /**
   * `total`: what this link has sent so far; `nowMs`: performance.now(). To be called about once a second. Returns what it sent, in words,
   * if that is too much.
   */
  exceeded(total: Traffic, nowMs: number): string | undefined {
    const seconds = this.#atMs === undefined ? 0 : (nowMs - this.#atMs) / 1000;
    const sent = combined((what) => total[what] - this.#counted[what]);
    const left = combined((what) => Math.min(AT_ONCE[what], this.#left[what] + seconds * PER_SECOND[what]) - sent[what]);
    this.#atMs = nowMs;
    this.#counted = { ...total };
    // Not below 0: an operator may connect it again at once, and it may have been restarted.
    this.#left = combined((what) => Math.max(0, left[what]));
    if (left.packets >= 0 && left.bytes >= 0 && left.others >= 0) return undefined;
    const some = sent.others === 0 ? '' : `, ${sent.others} of them no values,`;
    return `it sent ${sent.packets} packets${some} of ${sent.bytes} bytes within ${seconds.toFixed(1)} s; ${ALLOWED}`;
  }
}
