/** One radio with all that keeps it going: straps, scan, ladder. Made anew when the source changes. */
import type { BridgeStatus } from '../../contract/service-status.ts';
import type { CheckReport } from '../../service/mqtt/status-reporter.ts';
import { okCheck } from '../../service/mqtt/status-reporter.ts';
import { ERRORS } from '../../service/errors/error-catalogue.ts';
import { RepeatLimiter, type Logger } from '../../service/log/log.ts';
import { RecoveryLadder } from '../radio/recovery-ladder.ts';
import { ScanSupervisor } from '../radio/scan-supervisor.ts';
import { Straps, type StrapsOptions } from './straps.ts';
import type { Radio } from '../radio/radio.ts';

const TICK_MS = 1000;

export interface RadioSessionOptions extends StrapsOptions {
  onChanged: () => void;
  onFatal: (error: unknown) => void;
  /** Times of the recovery ladder. */
  ladder?: { rungMs?: number; rebuildsMax?: number };
}

export class RadioSession {
  readonly radio: Radio;
  readonly straps: Straps;
  readonly #o: RadioSessionOptions;
  readonly #log: Logger;
  readonly #repeats: RepeatLimiter;
  readonly #scan: ScanSupervisor;
  readonly #ladder: RecoveryLadder;
  #timer: NodeJS.Timeout | undefined;
  #wasOn = false;
  #lostPower = false;
  #rebuilding = false;
  #fatal: string | undefined;

  constructor(options: RadioSessionOptions) {
    this.#o = options;
    this.#log = options.log;
    this.#repeats = new RepeatLimiter(options.log);
    this.radio = options.radio;
    this.straps = new Straps(options);
    this.#scan = new ScanSupervisor({
      radio: this.radio,
      log: this.#log,
      connecting: () => this.straps.connecting,
      missing: () => this.straps.missing,
      lostAt: () => this.straps.lostAt,
    });
    this.#ladder = new RecoveryLadder({
      ...options.ladder,
      log: this.#log,
      health: () => this.straps.health(this.#scan.heardAt, this.#scan.failures),
      restartScan: () => void this.#scan.restart(),
      rebuild: () => this.#rebuild(),
      fatal: (error) => {
        this.#fatal = `${error.code}: ${error.detail}`;
        options.onFatal(error);
      },
    });
    this.radio.events.on('state', () => this.#stateChanged());
  }

  async start(): Promise<void> {
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    await this.radio.start();
    this.#stateChanged();
  }

  #stateChanged(): void {
    const on = this.radio.state === 'powered_on';
    if (on && this.#lostPower && !this.#rebuilding) {
      // noble said nothing of its links when the adapter went, and its picture of them is worth nothing: the scan begins in a new one.
      this.#lostPower = false;
      void this.#rebuild();
      return;
    }
    if (on && !this.#wasOn) {
      this.#log.info({ event: 'radio_on', source: this.radio.kind, adapter: this.radio.adapter }, 'the radio is on');
      this.#scan.start();
      this.#scan.reset();
    }
    if (!on && this.radio.state !== 'starting')
      this.#repeats.warn(
        this.radio.stateReason,
        { event: 'radio_unavailable', code: 'radio_unavailable', state: this.radio.state, reason: this.radio.stateReason },
        'no strap can be read now; it goes on as soon as the radio answers',
      );
    if (!on && this.#wasOn && !this.#rebuilding) {
      this.straps.radioLost();
      this.#lostPower = true;
    }
    this.#wasOn = on;
    this.#o.onChanged();
  }

  async #rebuild(): Promise<void> {
    if (this.#rebuilding) return;
    this.#rebuilding = true;
    try {
      this.straps.radioLost();
      this.#wasOn = false;
      await this.radio.rebuild();
    } finally {
      this.#rebuilding = false;
    }
    if (this.radio.state === 'powered_on') {
      this.#wasOn = true;
      this.#scan.reset();
    }
  }

  #tick(): void {
    this.straps.tick();
    this.#scan.tick();
    this.#ladder.tick();
  }

  /** Starts the scan anew and lets waiting straps try at once. */
  async scanNow(): Promise<boolean> {
    if (this.radio.state !== 'powered_on') return false;
    this.straps.retryNow();
    return await this.#scan.restart();
  }

  status(): BridgeStatus['radio'] {
    const { p50, p95 } = this.#o.statistics.reconnectMs;
    return {
      adapter: this.radio.adapter,
      state: this.radio.state,
      advertisements_per_minute: this.#scan.advertisementsPerMinute,
      connects: this.#o.statistics.connects,
      disconnects: this.#o.statistics.disconnects,
      reconnect_ms_p50: p50,
      reconnect_ms_p95: p95,
      straps_limit: this.straps.limit,
    };
  }

  checks(): CheckReport[] {
    if (this.#fatal !== undefined) return [{ name: 'radio', status: 'fail', reason: this.#fatal, hint: ERRORS.radio_stuck.hint }];
    if (this.radio.state === 'starting') return [okCheck('radio')];
    if (this.radio.state !== 'powered_on')
      return [
        {
          name: 'radio',
          status: 'fail',
          reason: `radio_unavailable: ${this.radio.stateReason}`,
          hint: ERRORS.radio_unavailable.hint,
        },
      ];
    if (this.#scan.failures > 1)
      return [
        {
          name: 'radio',
          status: 'warn',
          reason: `radio_scan_refused: ${this.#scan.failures} starts of the scan in a row failed`,
          hint: ERRORS.radio_scan_refused.hint,
        },
      ];
    return [okCheck('radio')];
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#scan.stop();
    await this.straps.stop();
    this.radio.events.removeAllListeners();
    await this.radio.stop();
  }
}
