/**
 * Bounds how many straps become known. Anyone within some metres can advertise any number of addresses, and each strap that becomes
 * known costs memory, a place in the connect queue, and retained topics. Straps are admitted by rank:
 *
 * - own: it has delivered readings, has an alias, or BLE_ALLOW names it alone. Always admitted, never dropped for others.
 * - listed: its name matches a pattern of BLE_ALLOW. Anybody can choose that name, so the number per minute is bounded.
 * - stranger: bounded as well, in numbers of its own. A strap that stays in the air is admitted before one that is received only once.
 */
import { okCheck, warning, type CheckReport } from '../../service/health/check-report.ts';

export type Rank = 'own' | 'listed' | 'stranger';

export const RANKS: Readonly<Record<Rank, number>> = { own: 0, listed: 1, stranger: 2 };

/** New addresses per minute, for each of the two bounded ranks: all at once in an empty minute. */
const NEW_PER_MINUTE = 60;
/** Beyond that, so many per minute of those that have been in the air for a while. */
const STAYING_PER_MINUTE = 30;
const STAYING_AFTER_MS = 8000;
/** Addresses that wait; the oldest makes room. */
const WAITING_MAX = 4000;
/** The check warns for this long after the last address that had to wait. */
const UNUSUAL_MS = 30_000;

/** Tokens that are refilled over a minute; all of them can be taken at once. */
class PerMinute {
  readonly #most: number;
  #left: number;
  #at = -Infinity;

  constructor(most: number) {
    this.#most = most;
    this.#left = most;
  }

  take(now: number): boolean {
    const refilled = Math.max(0, now - this.#at) * (this.#most / 60_000);
    this.#left = Math.min(this.#most, this.#left + (Number.isFinite(refilled) ? refilled : this.#most));
    this.#at = now;
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }
}

export class Admission {
  readonly #new = { listed: new PerMinute(NEW_PER_MINUTE), stranger: new PerMinute(NEW_PER_MINUTE) };
  readonly #staying = new PerMinute(STAYING_PER_MINUTE);
  /** Addresses that were not admitted, with their first advertisement (performance.now()). */
  readonly #waiting = new Map<string, number>();
  /** Addresses that had to wait, by the second of their first advertisement. */
  #unusual: { at: number; addresses: number }[] = [];
  #strongest: { address: string; rssi: number } | undefined;

  /** Whether an unknown address that advertises now becomes known. */
  admits(address: string, rank: Rank, rssi: number | null, now = performance.now()): boolean {
    if (rank === 'own') return true;
    const firstAt = this.#waiting.get(address);
    const stays = firstAt !== undefined && now - firstAt >= STAYING_AFTER_MS;
    const admitted = stays
      ? this.#staying.take(now) || this.#new[rank].take(now)
      : firstAt === undefined && this.#new[rank].take(now);
    if (admitted) {
      this.#waiting.delete(address);
      return true;
    }
    if (firstAt === undefined) this.#hasToWait(address, rssi, now);
    return false;
  }

  #hasToWait(address: string, rssi: number | null, now: number): void {
    this.#waiting.set(address, now);
    const [oldest] = this.#waiting.keys();
    if (this.#waiting.size > WAITING_MAX && oldest !== undefined) this.#waiting.delete(oldest);
    const last = this.#unusual.at(-1);
    if (last !== undefined && now - last.at < 1000) last.addresses += 1;
    else this.#unusual.push({ at: now, addresses: 1 });
    this.#unusual = this.#unusual.filter(({ at }) => now - at < UNUSUAL_MS);
    if (rssi !== null && (this.#strongest === undefined || rssi >= this.#strongest.rssi)) this.#strongest = { address, rssi };
  }

  /** The health check `unknown straps`. */
  check(now = performance.now()): CheckReport {
    const recent = this.#unusual.filter(({ at }) => now - at < UNUSUAL_MS);
    if (recent.length === 0) {
      this.#unusual = [];
      this.#strongest = undefined;
      return okCheck('unknown straps');
    }
    const addresses = recent.reduce((sum, { addresses: more }) => sum + more, 0);
    const strongest =
      this.#strongest === undefined ? '' : `; the strongest signal is ${this.#strongest.rssi} dBm, of ${this.#strongest.address}`;
    return warning(
      'unknown straps',
      'many_unknown_straps',
      `${addresses} unknown addresses within ${UNUSUAL_MS / 1000} s advertise a heart rate and are not connected${strongest}`,
    );
  }
}
