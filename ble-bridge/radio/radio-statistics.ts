/** Radio statistics for the status; each event is also counted in the metrics. */
import { BridgeMetrics } from '../bridge-metrics.ts';

/** Reconnect times over which the percentiles are computed. */
const KEPT = 500;

function percentile(sorted: readonly number[], share: number): number | null {
  const value = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
  return value === undefined ? null : Math.round(value);
}

/** Reconnect times; percentiles of the last 500. */
export class ReconnectTimes {
  #timesMs: number[] = [];

  add(ms: number): void {
    this.#timesMs.push(ms);
    if (this.#timesMs.length > KEPT) this.#timesMs.shift();
  }

  /** In ms; null before the first. */
  get percentiles(): { p50: number | null; p95: number | null } {
    const sorted = [...this.#timesMs].sort((a, b) => a - b);
    return { p50: percentile(sorted, 0.5), p95: percentile(sorted, 0.95) };
  }
}

/** Events per minute that are counted; more than this are reported as this number. */
const PER_MINUTE_MAX = 20_000;

/** Counts the events of the last minute. Times are performance.now(). */
export class LastMinute {
  #times: number[] = [];

  add(now = performance.now()): void {
    this.#times.push(now);
    if (this.#times.length >= 2 * PER_MINUTE_MAX) this.#trim(now);
  }

  count(now = performance.now()): number {
    this.#trim(now);
    return this.#times.length;
  }

  #trim(now: number): void {
    const first = this.#times.findIndex((at) => at >= now - 60_000);
    this.#times = first < 0 ? [] : this.#times.slice(Math.max(first, this.#times.length - PER_MINUTE_MAX));
  }
}

/** Ends of links, by reason. */
export type Disconnects = Record<string, number>;

export class RadioStatistics {
  readonly metrics: BridgeMetrics;
  readonly #byReason: Disconnects = {};
  readonly #reconnects = new ReconnectTimes();
  #connectCount = 0;

  constructor(metrics = new BridgeMetrics()) {
    this.metrics = metrics;
  }

  connected(): void {
    this.#connectCount += 1;
    this.metrics.connects.add();
  }

  ended(reason: string): void {
    this.#byReason[reason] = (this.#byReason[reason] ?? 0) + 1;
    this.metrics.disconnects.add(1, { reason });
  }

  reconnected(ms: number): void {
    this.#reconnects.add(ms);
    this.metrics.reconnectSeconds.observe(ms / 1000);
  }

  get connects(): number {
    return this.#connectCount;
  }

  get disconnects(): Disconnects {
    return { ...this.#byReason };
  }

  /** Reconnect times in ms, over the last 500. */
  get reconnectMs(): { p50: number | null; p95: number | null } {
    return this.#reconnects.percentiles;
  }
}
