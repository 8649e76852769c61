/** One radio in use, with its straps, scan and recovery ladder. Recreated when the source of readings changes. */
import type { BridgeStatus } from '../../contract/bridge-status.ts';
import type { HrError } from '../../service/errors/errors.ts';
import { RepeatLimiter, type Logger } from '../../service/log/log.ts';
import { okCheck, type CheckReport } from '../../service/health/check-report.ts';
import { radioCheck } from '../radio/radio-check.ts';
import type { Radio } from '../radio/radio.ts';
import { RecoveryLadder } from '../radio/recovery-ladder.ts';
import { ScanSupervisor } from '../radio/scan-supervisor.ts';
import { SessionState } from './session-state.ts';
import { Straps, type StrapsOptions } from './straps.ts';

const TICK_MS = 1000;

export interface RadioSessionOptions extends StrapsOptions {
  /** Called when the radio cannot be recovered: the process has to end. */
  onFatal: (error: HrError) => void;
  /** For tests: times of the recovery ladder. */
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
  #soon: NodeJS.Immediate | undefined;
  readonly #state = new SessionState();
  #fatal: HrError | undefined;

  constructor(options: RadioSessionOptions) {
    this.#o = options;
    this.#log = options.log;
    this.#repeats = new RepeatLimiter(options.log);
    this.radio = options.radio;
    this.straps = new Straps(options);
    this.#scan = new ScanSupervisor({ radio: this.radio, log: this.#log, demand: this.straps });
    this.#ladder = new RecoveryLadder({
      ...options.ladder,
      log: this.#log,
      radio: {
        health: () => this.straps.health(this.#scan.advertisedAt, this.#scan.failures),
        restartScan: () => void this.#scan.restart(),
        rebuild: () => this.#rebuild(),
        giveUp: (error) => this.#giveUp(error),
      },
    });
    this.radio.events.on('state', () => this.#stateChanged());
  }

  async start(): Promise<void> {
    // After a pause of the process its timers fire before what arrived meanwhile is read, and straps would be called silent; immediates
    // run after that.
    this.#timer = setInterval(() => {
      this.#soon = setImmediate(() => this.#tick());
    }, TICK_MS);
    await this.radio.start();
    this.#stateChanged();
  }

  #stateChanged(): void {
    const { state: radioState, stateReason: reason } = this.radio;
    if (radioState === 'powered_on') this.#poweredOn();
    else {
      if (radioState !== 'starting')
        this.#repeats.warn(
          reason,
          { event: 'radio_unavailable', code: 'radio_unavailable', state: radioState, reason },
          'no strap can be read; waiting for the radio',
        );
      if (this.#state.current === 'on') {
        this.#state.enter('lost');
        this.straps.radioLost();
      }
    }
    this.#o.events.emit('radio');
  }

  #poweredOn(): void {
    // noble did not report the end of its links when the adapter went away: its state is void, and the scan starts in a new one.
    if (this.#state.current === 'lost') void this.#rebuild();
    else if (this.#state.current === 'off') this.#turnOn();
  }

  #turnOn(): void {
    this.#state.enter('on');
    this.#log.info({ event: 'radio_on', source: this.radio.kind, adapter: this.radio.adapter }, 'the radio is on');
    this.straps.radioOn();
    this.#scan.start();
    this.#scan.reset();
  }

  async #rebuild(): Promise<void> {
    const { current } = this.#state;
    if (current === 'rebuilding' || current === 'stuck' || current === 'stopped') return;
    this.#state.enter('rebuilding');
    this.straps.radioLost();
    try {
      await this.radio.rebuild();
    } finally {
      this.#rebuilt();
    }
  }

  /** Called after a rebuild, during which the ladder may have reached its end or the session may have been stopped. */
  #rebuilt(): void {
    if (this.#state.current !== 'rebuilding') return;
    if (this.radio.state === 'powered_on') this.#turnOn();
    else this.#state.enter('off');
  }

  #giveUp(error: HrError): void {
    this.#state.enter('stuck');
    this.#fatal = error;
    this.#o.events.emit('radio');
    this.#o.onFatal(error);
  }

  #tick(): void {
    this.straps.tick();
    this.#scan.tick();
    this.#ladder.tick();
  }

  /** Restarts the scan, and lets waiting straps connect without their backoff. False if the radio is off or refused. */
  async scanNow(): Promise<boolean> {
    if (this.radio.state !== 'powered_on') return false;
    this.straps.retryNow();
    return await this.#scan.restart();
  }

  status(): BridgeStatus['radio'] {
    const { statistics } = this.#o;
    const { p50, p95 } = statistics.reconnectMs;
    return {
      adapter: this.radio.adapter,
      state: this.radio.state,
      advertisements_per_minute: this.#scan.advertisementsPerMinute,
      connects: statistics.connects,
      disconnects: statistics.disconnects,
      reconnect_ms_p50: p50,
      reconnect_ms_p95: p95,
      straps_limit: this.straps.limit,
    };
  }

  checks(): CheckReport[] {
    return [this.#check(), ...this.straps.checks()];
  }

  #check(): CheckReport {
    if (this.#fatal !== undefined) return radioCheck('fail', 'radio_stuck', this.#fatal.detail);
    if (this.radio.state === 'starting') return okCheck('radio');
    if (this.radio.state !== 'powered_on') {
      const { stateReason, stateHint } = this.radio;
      return radioCheck('fail', 'radio_unavailable', stateReason, stateHint);
    }
    if (this.#scan.failures > 1)
      return radioCheck('warn', 'radio_scan_refused', `${this.#scan.failures} consecutive starts of the scan failed`);
    return okCheck('radio');
  }

  async stop(): Promise<void> {
    if (this.#state.current === 'stopped') return;
    this.#state.enter('stopped');
    clearInterval(this.#timer);
    clearImmediate(this.#soon);
    this.#scan.stop();
    await this.straps.stop();
    this.radio.events.removeAllListeners();
    await this.radio.stop();
  }
}
