/**
 * Recovery of the radio as a whole, one rung after the other: restart the scan, rebuild the radio (restart noble), exit with a code.
 * (The rungs before these, subscribing and connecting again, belong to each strap: straps/sensor-link.ts.) Any sign of life, an
 * advertisement or a valid notification of any strap, resets the ladder: one faulty strap never disturbs the others. One exception:
 * while no strap delivers and every connection attempt fails, advertisements do not count, because a controller can receive and still
 * be unable to connect.
 */
import { HrError } from '../../service/errors/errors.ts';
import type { Logger } from '../../service/log/log.ts';
import { LadderState } from './ladder-state.ts';

/** The state of the radio that the ladder decides on. Times are performance.now(). */
export interface RadioHealth {
  poweredOn: boolean;
  /** The adapter is powered on, but does not answer. */
  unresponsive: boolean;
  /** Last advertisement or notification of any strap; -Infinity before the first. */
  aliveAt: number;
  /** Known straps that do not deliver: silent or not connected. If others are received, these are out of range and the radio works. */
  troubled: number;
  /** Consecutive failed starts of the scan. */
  scanFailures: number;
  /** Links since the last rebuild whose end the controller did not confirm. */
  unconfirmed: number;
  /** Consecutive connection attempts, over all straps, without a notification; reset by a notification and by a rebuild. */
  fruitless: number;
  /** Straps that deliver notifications. */
  receiving: number;
}

/** The radio as the ladder sees and moves it. */
export interface RecoverableRadio {
  health(): RadioHealth;
  restartScan(): void;
  rebuild(): Promise<void>;
  /** The last rung: the process has to end. */
  giveUp(error: HrError): void;
}

export interface LadderOptions {
  log: Logger;
  radio: RecoverableRadio;
  /** ms without a sign of life per rung. */
  rungMs?: number;
  /** Rebuilds without a sign of life before the exit. */
  rebuildsMax?: number;
  /** Between further rebuilds while nothing is received, but the controller answers. */
  quietRebuildMs?: number;
}

/** So many consecutive failed attempts are the radio's fault if no strap delivers: it receives, but cannot connect. */
const FRUITLESS_MAX = 6;
const NOTHING_RECEIVED = 'nothing is received';

function faultOf(health: RadioHealth): string {
  if (health.scanFailures > 0) return 'the scan is refused';
  return health.fruitless >= FRUITLESS_MAX ? 'every connection attempt fails' : NOTHING_RECEIVED;
}

export class RecoveryLadder {
  readonly #o: LadderOptions;
  readonly #rungMs: number;
  readonly #rebuildsMax: number;
  readonly #quietRebuildMs: number;
  readonly #state = new LadderState();
  #rebuilds = 0;
  #rebuiltAt = -Infinity;
  /** Since when no strap is missing and nothing is received. */
  #silentSince: number | undefined;

  constructor(options: LadderOptions) {
    this.#o = options;
    this.#rungMs = options.rungMs ?? 15_000;
    this.#rebuildsMax = options.rebuildsMax ?? 4;
    this.#quietRebuildMs = options.quietRebuildMs ?? 600_000;
  }

  /** Consecutive rebuilds without a sign of life since. */
  get rebuilds(): number {
    return this.#rebuilds;
  }

  /** To be called about once a second. */
  tick(): void {
    if (this.#state.current === 'rebuilding' || this.#state.current === 'gave_up') return;
    const health = this.#o.radio.health();
    const now = performance.now();
    // A missing adapter is not a fault of noble: the radio check reports it, and the ladder waits.
    if (!health.poweredOn && !health.unresponsive) return this.#works();
    if (this.#deafForLong(health, now)) return this.#rebuild('nothing received for a long time', { counts: false });
    if (this.#alive(health)) {
      this.#works();
      if (health.aliveAt > this.#rebuiltAt) this.#rebuilds = 0;
      return;
    }
    if (this.#state.current === 'working') this.#state.enter('troubled');
    const troubleMs = now - this.#state.since;
    // The controller has lost links that we hold, and no strap delivers: waiting does not help.
    if (health.unconfirmed > 0 && health.receiving === 0)
      return this.#rebuild('the controller did not confirm the end of a link');
    if (this.#state.current === 'troubled') {
      if (troubleMs <= this.#rungMs) return;
      this.#state.enter('scan_restarted');
      this.#o.log.warn(
        { event: 'radio_quiet', quiet_ms: Math.round(troubleMs) },
        'no sign of life of the radio: restarting the scan',
      );
      this.#o.radio.restartScan();
    } else if (troubleMs > 2 * this.#rungMs * (1 + this.#rebuilds)) {
      if (this.#rebuilds >= this.#rebuildsMax) return this.#giveUp(health);
      this.#rebuild(faultOf(health));
    }
  }

  #works(): void {
    if (this.#state.current !== 'working') this.#state.enter('working');
  }

  /** No strap is missing and nothing is received: a quiet place or a deaf adapter. A rebuild costs nothing in either case. */
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

  /** The radio works, or the trouble is that of single straps. */
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
    this.#state.enter('rebuilding');
    if (counts) this.#rebuilds += 1;
    this.#o.log.warn({ event: 'radio_rebuilt', reason, rebuilds: this.#rebuilds }, 'restarting noble');
    this.#o.radio
      .rebuild()
      .catch((error: unknown) => this.#o.log.error({ event: 'radio_rebuild_failed', err: error }, 'restarting noble failed'))
      .finally(() => {
        this.#state.enter('working');
        this.#rebuiltAt = performance.now();
      });
  }

  #giveUp(health: RadioHealth): void {
    // Receiving nothing is not a fault of its own: only a controller that fails commands justifies an exit. Otherwise an occasional
    // rebuild costs nothing, and helps an adapter that answers but is deaf.
    if (health.scanFailures === 0 && health.unconfirmed === 0 && !health.unresponsive) {
      if (performance.now() - this.#rebuiltAt > this.#quietRebuildMs) this.#rebuild(NOTHING_RECEIVED);
      return;
    }
    this.#state.enter('gave_up');
    this.#o.radio.giveUp(
      new HrError('radio_stuck', {
        operation: 'recover the radio',
        detail: `no sign of life after ${this.#rebuilds} restarts of noble`,
      }),
    );
  }
}
