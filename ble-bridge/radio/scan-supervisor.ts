/**
 * Keeps the scan going: it stops unasked, is refused (0x0c: never answered), and a strap that returns is not reported twice in one
 * scan (facts.md, BLE 6 and 7). So it is started anew when it stopped, when a strap is missing, and from time to time; it waits
 * while a connect is under way.
 */
import { messageOf } from '../../service/errors/errors.ts';
import { RepeatLimiter, type Logger } from '../../service/log/log.ts';
import { LastMinute } from './radio-statistics.ts';
import type { Radio } from './radio.ts';

export interface ScanSupervisorOptions {
  radio: Radio;
  log: Logger;
  /** A connect is under way: no scan is begun now. */
  connecting: () => boolean;
  /** Straps are known that are not connected. */
  missing: () => boolean;
  /** When a link last ended (performance.now), -Infinity before the first: a strap that returns is reported by a new scan only. */
  lostAt: () => number;
  limits?: Partial<ScanLimits>;
}

/** All in ms. */
export interface ScanLimits {
  /** The controller must have answered by then. */
  answer: number;
  /** Between two starts in the first minute after a loss, while straps are missing, and else. */
  afterLoss: number;
  whileMissing: number;
  else: number;
}

const LIMITS: ScanLimits = { answer: 2000, afterLoss: 2000, whileMissing: 5000, else: 30_000 };
const AFTER_LOSS_MS = 60_000;
/** How long connects may put the scan off. */
const POSTPONE_MS = 15_000;

export class ScanSupervisor {
  readonly #o: ScanSupervisorOptions;
  readonly #limits: ScanLimits;
  readonly #repeats: RepeatLimiter;
  readonly #heard = new LastMinute();
  #startedAt = -Infinity;
  #stopped = true;
  #starting = false;
  #running = false;
  #failures = 0;
  #answeredAt = -Infinity;
  #heardAt = -Infinity;
  #expectStop = false;
  #runs = 0;

  constructor(options: ScanSupervisorOptions) {
    this.#o = options;
    this.#limits = { ...LIMITS, ...options.limits };
    this.#repeats = new RepeatLimiter(options.log);
    options.radio.events.on('advertisement', () => {
      this.#heardAt = performance.now();
      this.#heard.add(this.#heardAt);
    });
    options.radio.events.on('scan_stopped', () => {
      // Each start stops the old scan first: that one is expected.
      if (!this.#expectStop) this.#running = false;
    });
  }

  /** Starts of the scan in a row that were refused or not answered. */
  get failures(): number {
    return this.#failures;
  }

  /** When an advertisement was last heard (performance.now), -Infinity before the first. */
  get heardAt(): number {
    return this.#heardAt;
  }

  /** When the controller last answered a start of the scan. */
  get answeredAt(): number {
    return this.#answeredAt;
  }

  get running(): boolean {
    return this.#running;
  }

  get advertisementsPerMinute(): number {
    return this.#heard.count();
  }

  start(): void {
    this.#stopped = false;
    this.tick();
  }

  stop(): void {
    this.#stopped = true;
  }

  /** The radio was made anew or powered on: nothing of the old scan holds. */
  reset(): void {
    this.#running = false;
    this.#startedAt = -Infinity;
    this.#runs += 1;
    this.#starting = false;
    this.tick();
  }

  /** To be called about once a second. */
  tick(): void {
    if (this.#stopped || this.#starting || this.#o.radio.state !== 'powered_on') return;
    const now = performance.now();
    const age = now - this.#startedAt;
    const lostAt = this.#o.lostAt();
    const due = lostAt > this.#startedAt || age > this.#intervalMs(now - lostAt) || (!this.#running && this.#failures === 0);
    if (!due || (this.#o.connecting() && age < POSTPONE_MS)) return;
    void this.restart();
  }

  #intervalMs(sinceLossMs: number): number {
    if (!this.#running) return this.#failures < 5 ? this.#limits.afterLoss : this.#limits.whileMissing;
    if (!this.#o.missing()) return this.#limits.else;
    return sinceLossMs < AFTER_LOSS_MS ? this.#limits.afterLoss : this.#limits.whileMissing;
  }

  /** Starts the scan anew, now. False where the controller refused or did not answer in time. */
  async restart(): Promise<boolean> {
    this.#starting = true;
    this.#expectStop = true;
    this.#startedAt = performance.now();
    const run = (this.#runs += 1);
    let timer: NodeJS.Timeout | undefined;
    try {
      const limit = new Promise<never>((_, reject) => {
        timer = setTimeout(
          () => reject(new Error(`the controller did not answer in ${this.#limits.answer} ms`)),
          this.#limits.answer,
        );
      });
      await Promise.race([this.#o.radio.scan(), limit]);
      if (run !== this.#runs) return true;
      this.#running = true;
      this.#failures = 0;
      this.#answeredAt = performance.now();
      return true;
    } catch (error) {
      if (run !== this.#runs) return false;
      this.#running = false;
      this.#failures += 1;
      if (!this.#stopped)
        this.#repeats.warn(
          'scan_failed',
          { event: 'scan_failed', failures: this.#failures, reason: messageOf(error) },
          'the scan for straps could not be started',
        );
      return false;
    } finally {
      clearTimeout(timer);
      if (run === this.#runs) {
        this.#starting = false;
        this.#expectStop = false;
      }
    }
  }
}
