/**
 * Names straps that offer other services at each connection. No strap does that: it is an attack by radio, or a defect. It can make the box
 * do little, because its links end in growing pauses; this is for the operator.
 */
import { okCheck, warning, type CheckReport } from '../../service/health/check-report.ts';

/** Links of one strap within this time are compared: an update of its firmware takes longer. The check names it for as long. */
const WINDOW_MS = 60_000;
/** Straps that are followed. */
const STRAPS_MAX = 1000;

export class StrapChanges {
  /** What each strap offered at its last connection, by address; the last connected one is at the end. */
  readonly #services = new Map<string, { text: string; at: number }>();
  #named: { at: number; text: string } | undefined;

  /** A strap was connected, and offers these services. */
  servicesFound({ address, device }: { address: string; device: string }, text: string, now = performance.now()): void {
    const before = this.#services.get(address);
    this.#services.delete(address);
    this.#services.set(address, { text, at: now });
    const [oldest] = this.#services.keys();
    if (this.#services.size > STRAPS_MAX && oldest !== undefined) this.#services.delete(oldest);
    if (before === undefined || before.text === text || now - before.at > WINDOW_MS) return;
    this.#named = { at: now, text: `${device} (${address}) offers other services than at the connection before` };
  }

  /** The health check `strap services`. */
  check(now = performance.now()): CheckReport {
    if (this.#named === undefined || now - this.#named.at > WINDOW_MS) return okCheck('strap services');
    return warning('strap services', 'strap_changes', this.#named.text);
  }
}
