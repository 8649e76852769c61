/** Judges an advertisement by the lists and by what is known of its address: whether it becomes a strap, and before whom. */
import { RepeatLimiter, type Logger } from '../../service/log/log.ts';
import { LastMinute } from '../radio/radio-statistics.ts';
import type { Advertisement } from '../radio/radio.ts';
import type { Rank } from './admission.ts';
import { isEstablished, type DeviceNames } from './device-names.ts';
import type { StrapFilter, Verdict } from './strap-filter.ts';

/** A strap that was dropped for its new name is ignored for this long: one that keeps changing its name must not come and go. */
const IGNORE_MS = { denied: 600_000, not_allowed: 30_000 } as const;
const IGNORED_MAX = 1000;
/** Straps excluded by the lists that are logged one by one per minute; further ones in one line. */
const REFUSALS_LOGGED = 20;

export class StrapGate {
  readonly #names: DeviceNames;
  readonly #filter: StrapFilter;
  readonly #repeats: RepeatLimiter;
  readonly #refusals = new LastMinute();
  /** Until when (performance.now()) an address is ignored. */
  readonly #ignored = new Map<string, number>();

  constructor(names: DeviceNames, filter: StrapFilter, log: Logger) {
    this.#names = names;
    this.#filter = filter;
    this.#repeats = new RepeatLimiter(log);
  }

  /** Whether an unknown address is wanted as a strap. */
  isWanted(advertisement: Advertisement): boolean {
    return !this.#isIgnored(advertisement.address) && this.#judge(advertisement) === 'wanted';
  }

  /** Whether the lists exclude a known strap by the name that it advertises now. It is ignored for a while then. */
  excludes(advertisement: Advertisement): boolean {
    const verdict = this.#judge(advertisement);
    if (verdict !== 'denied' && verdict !== 'not_allowed') return false;
    this.#ignored.set(advertisement.address, performance.now() + IGNORE_MS[verdict]);
    const [oldest] = this.#ignored.keys();
    if (this.#ignored.size > IGNORED_MAX && oldest !== undefined) this.#ignored.delete(oldest);
    return true;
  }

  #isIgnored(address: string): boolean {
    const until = this.#ignored.get(address);
    if (until === undefined) return false;
    if (performance.now() < until) return true;
    this.#ignored.delete(address);
    return false;
  }

  /** A name that was learned before counts as well. */
  #judge(advertisement: Advertisement): Verdict {
    const { address } = advertisement;
    const kept = this.#names.find(address);
    const name = advertisement.name ?? kept?.name ?? undefined;
    const verdict = this.#filter.judge({ ...advertisement, name }, kept?.device);
    if (verdict === 'denied' || verdict === 'not_allowed') {
      this.#refusals.add();
      this.#repeats.info(
        this.#refusals.count() > REFUSALS_LOGGED ? 'refused' : `refused ${address}`,
        { event: 'strap_refused', address, name, verdict },
        'ignoring strap: excluded by BLE_ALLOW or BLE_DENY',
      );
    }
    return verdict;
  }

  /** What a strap may claim before others. */
  rankOf(advertisement: Advertisement): Rank {
    const { address } = advertisement;
    const kept = this.#names.find(address);
    if (kept !== undefined && isEstablished(kept)) return 'own';
    const name = advertisement.name ?? kept?.name ?? undefined;
    const listed = this.#filter.listed({ ...advertisement, name }, kept?.device);
    const alias = kept === undefined ? this.#names.aliasKind(address, name) : undefined;
    if (listed === 'one' || alias === 'one') return 'own';
    return listed === 'pattern' || alias === 'name' ? 'listed' : 'stranger';
  }
}
