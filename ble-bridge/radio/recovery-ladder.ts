/**
 * What is done when the radio as a whole does not work, one rung after the other: a new scan, a new noble, an exit with a code.
 * (The first rungs, subscribe again and connect again, are each strap's own: sensor-link.ts.) Any sign of life of the radio, an
 * advertisement of anybody or a valid notification, puts it back to the ground: one bad strap never disturbs the others. Only where
 * nobody delivers and attempt after attempt fails, hearing alone is no sign of life: a controller can hear and be unable to connect.
 */
import { HrError } from '../../service/errors/errors.ts';
import type { Logger } from '../../service/log/log.ts';

/** What the ladder sees of the radio. Times by performance.now(). */
export interface RadioHealth {
  poweredOn: boolean;
  /** The adapter is on, and answers nothing. */
  unresponsive: boolean;
  /** Last advertisement or notification of anybody; -Infinity before the first. */
  aliveAt: number;
  /** Known straps that do not deliver: silent, or not connected. Where anything else is heard they have gone, and the radio is well. */
  troubled: number;
  /** Starts of the scan in a row that failed. */
  scanFailures: number;
  /** Links whose end the controller did not confirm, since the last rebuild. */
  unconfirmed: number;
  /** Attempts in a row, of any strap, that led to no notification, since one last came or the last rebuild. */
  fruitless: number;
  /** Straps that deliver. */
  receiving: number;
}

export interface LadderOptions {
  log: Logger;
  health: () => RadioHealth;
  restartScan: () => void;
  rebuild: (reason: string) => Promise<void>;
  /** The last rung. */
  fatal: (error: HrError) => void;
  /** ms without a sign of life per rung. */
  rungMs?: number;
  /** New nobles without a sign of life before the exit. */
  rebuildsMax?: number;
  /** Between further ones where nothing is heard, but the controller answers. */
  quietRebuildMs?: number;
}

/** So many fruitless attempts in a row are the radio's fault, where no strap delivers: it hears, and cannot connect. */
const FRUITLESS_MAX = 6;

export class RecoveryLadder {
  readonly #o: LadderOptions;
  readonly #rungMs: number;
  readonly #rebuildsMax: number;
  readonly #quietRebuildMs: number;
  #troubleSince: number | undefined;
  #scanRestarted = false;
  #rebuilds = 0;
  #rebuiltAt = -Infinity;
  #rebuilding = false;
  /** Since when nobody is known, connected or heard. */
  #silentSince: number | undefined;
  #given = false;

  constructor(options: LadderOptions) {
    this.#o = options;
    this.#rungMs = options.rungMs ?? 15_000;
    this.#rebuildsMax = options.rebuildsMax ?? 4;
    this.#quietRebuildMs = options.quietRebuildMs ?? 600_000;
  }

  /** How often noble was made anew without a sign of life since. */
  get rebuilds(): number {
    return this.#rebuilds;
  }

  /** To be called about once a second. */
  tick(): void {
    const health = this.#o.health();
    if (this.#rebuilding || this.#given) return;
    const now = performance.now();
    if (!health.poweredOn && !health.unresponsive) {
      // An adapter that is away is no fault of noble: it is said, and waited for.
      this.#troubleSince = undefined;
      return;
    }
    if (this.#deafForLong(health, now)) return this.#rebuild('nothing was ever heard', { counts: false });
    if (this.#alive(health)) {
      this.#troubleSince = undefined;
      this.#scanRestarted = false;
      if (health.aliveAt > this.#rebuiltAt) this.#rebuilds = 0;
      return;
    }
    this.#troubleSince ??= now;
    const troubleMs = now - Math.max(this.#troubleSince, this.#rebuiltAt);
    // The controller no longer knows links that we hold, and nobody delivers: waiting helps nobody.
    if (health.unconfirmed > 0 && health.receiving === 0) return this.#rebuild('links ended without the controller saying so');
    if (troubleMs > this.#rungMs && !this.#scanRestarted) {
      this.#scanRestarted = true;
      this.#o.log.warn(
        { event: 'radio_quiet', quiet_ms: Math.round(troubleMs) },
        'no sign of life of the radio: the scan is started anew',
      );
      this.#o.restartScan();
    } else if (troubleMs > 2 * this.#rungMs * (1 + this.#rebuilds)) {
      if (this.#rebuilds >= this.#rebuildsMax) return this.#giveUp(health);
      this.#rebuild(
        health.scanFailures > 0
          ? 'the scan is refused'
          : health.fruitless >= FRUITLESS_MAX
            ? 'no connection comes to be'
            : 'nothing is heard',
      );
    }
  }

  /** Nobody is missed and nobody is heard: a quiet place, or a deaf adapter. Nothing tells them apart, and a new noble costs nothing there. */
  #deafForLong(health: RadioHealth, now: number): boolean {
    const silent =
      health.troubled === 0 && health.receiving === 0 && !health.unresponsive && now - health.aliveAt > this.#quietRebuildMs;
    if (!silent) {
      this.#silentSince = undefined;
      return false;
    }
    this.#silentSince ??= now;
    return now - Math.max(this.#silentSince, this.#rebuiltAt) > this.#quietRebuildMs;
  }

  /** No trouble, or trouble that is the straps' own. */
  #alive(health: RadioHealth): boolean {
    const quietMs = performance.now() - health.aliveAt;
    if (health.unresponsive) return false;
    if (health.unconfirmed > 0 && health.receiving === 0) return false;
    if (health.scanFailures > 1) return health.receiving > 0;
    if (health.fruitless >= FRUITLESS_MAX && health.receiving === 0) return false;
    if (health.troubled === 0) return true;
    return quietMs < this.#rungMs;
  }

  #rebuild(reason: string, { counts = true } = {}): void {
    this.#rebuilding = true;
    if (counts) this.#rebuilds += 1;
    this.#scanRestarted = false;
    this.#o.log.warn({ event: 'radio_rebuilt', reason, rebuilds: this.#rebuilds }, 'noble is made anew');
    this.#o
      .rebuild(reason)
      .catch((error: unknown) => this.#o.log.error({ event: 'radio_rebuild_failed', err: error }, 'noble could not be made anew'))
      .finally(() => {
        this.#rebuilding = false;
        this.#rebuiltAt = performance.now();
      });
  }

  #giveUp(health: RadioHealth): void {
    // A place where nothing is to be heard is no fault: only a controller that does not do what it is told is. A new noble now and
    // then costs nothing there, and helps an adapter that answers and is deaf.
    if (health.scanFailures === 0 && health.unconfirmed === 0 && !health.unresponsive) {
      if (performance.now() - this.#rebuiltAt > this.#quietRebuildMs) this.#rebuild('nothing is heard');
      return;
    }
    this.#given = true;
    this.#o.fatal(
      new HrError('radio_stuck', {
        operation: 'recover the radio',
        detail: `no sign of life after ${this.#rebuilds} new starts of noble`,
      }),
    );
  }
}
