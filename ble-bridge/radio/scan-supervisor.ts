/**
 * Keeps the scan running. With noble a scan can stop unexpectedly, a refused start (HCI 0x0c, command disallowed) is never answered,
 * and a strap that returns is not reported again within one scan. The scan is therefore restarted when it stopped, while a strap is
 * missing, and periodically; it waits while a connect is in progress.
 */
import { messageOf } from '../../service/errors/errors.ts';
import { RepeatLimiter, type Logger } from '../../service/log/log.ts';
import { LastMinute } from './radio-statistics.ts';
import type { Radio } from './radio.ts';

/** What the supervisor needs to know about the straps. */
export interface ScanDemand {
  /** A connect is in progress: no scan is started now. */
  readonly connecting: boolean;
  /** A known strap is not connected. */
  readonly missing: boolean;
  /** When a link last ended (performance.now()), -Infinity before the first: only a new scan reports a strap that returns. */
  readonly lostAt: number;
}

export interface ScanSupervisorOptions {
  radio: Pick<Radio, 'state' | 'events' | 'scan'>;
  log: Logger;
  demand: ScanDemand;
  limits?: Partial<ScanLimits>;
}

/** Timeouts and intervals of the scan. */
export interface ScanLimits {
  /** Timeout for the controller's answer to a start. */
  answerMs: number;
  /** Between two starts: in the first minute after a link ended, while straps are missing, and otherwise. */
  afterLossMs: number;
  whileMissingMs: number;
  idleMs: number;
}

const LIMITS: ScanLimits = { answerMs: 2000, afterLossMs: 2000, whileMissingMs: 5000, idleMs: 30_000 };
const AFTER_LOSS_MS = 60_000;
/** How long connects may postpone the scan. */
const POSTPONE_MS = 15_000;

export class ScanSupervisor {
  readonly #o: ScanSupervisorOptions;
  readonly #limits: ScanLimits;
  readonly #repeats: RepeatLimiter;
  readonly #advertisements = new LastMinute();
  #startedAt = -Infinity;
  #stopped = true;
  #starting = false;
  #running = false;
  #failures = 0;
  #answeredAt = -Infinity;
  #advertisedAt = -Infinity;
  #expectStop = false;
  #runs = 0;

  constructor(options: ScanSupervisorOptions) {
    this.#o = options;
    this.#limits = { ...LIMITS, ...options.limits };
    this.#repeats = new RepeatLimiter(options.log);
    options.radio.events.on('advertisement', () => {
      this.#advertisedAt = performance.now();
      this.#advertisements.add(this.#advertisedAt);
    });
    options.radio.events.on('scan_stopped', () => {
      // Each start stops the previous scan first: that stop is expected.
      if (!this.#expectStop) this.#running = false;
    });
  }

  /** Consecutive starts of the scan that were refused or not answered. */
  get failures(): number {
    return this.#failures;
  }

  /** When the last advertisement was received (performance.now()), -Infinity before the first. */
  get advertisedAt(): number {
    return this.#advertisedAt;
  }

  /** When the controller last answered a start of the scan. */
  get answeredAt(): number {
    return this.#answeredAt;
  }

  get running(): boolean {
    return this.#running;
  }

  get advertisementsPerMinute(): number {
    return this.#advertisements.count();
  }

  start(): void {
    this.#stopped = false;
    this.tick();
  }

  stop(): void {
    this.#stopped = true;
  }

  /** The radio was rebuilt or powered on: the state of the old scan is void. */
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
    const lostAt = this.#o.demand.lostAt;
    const due = lostAt > this.#startedAt || age > this.#intervalMs(now - lostAt) || (!this.#running && this.#failures === 0);
    if (!due || (this.#o.demand.connecting && age < POSTPONE_MS)) return;
    void this.restart();
  }

  #intervalMs(sinceLossMs: number): number {
    if (!this.#running) return this.#failures < 5 ? this.#limits.afterLossMs : this.#limits.whileMissingMs;
    if (!this.#o.demand.missing) return this.#limits.idleMs;
    return sinceLossMs < AFTER_LOSS_MS ? this.#limits.afterLossMs : this.#limits.whileMissingMs;
  }

  /** Restarts the scan now. False if the controller refused or did not answer in time. */
  async restart(): Promise<boolean> {
    this.#starting = true;
    this.#expectStop = true;
    this.#startedAt = performance.now();
    const run = (this.#runs += 1);
    let timer: NodeJS.Timeout | undefined;
    try {
      const limit = new Promise<never>((_, reject) => {
        timer = setTimeout(
          () => reject(new Error(`the controller did not answer within ${this.#limits.answerMs} ms`)),
          this.#limits.answerMs,
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
          'starting the scan failed',
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
