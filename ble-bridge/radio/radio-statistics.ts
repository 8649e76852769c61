/** Counts of the radio for status and metrics. */
import type { Metric } from '../../contract/service-status.ts';
import { Counter, Histogram } from '../../service/metrics/metrics.ts';

/** Times to reconnect of which the percentiles are made. */
const KEPT = 500;

function percentile(sorted: readonly number[], share: number): number | null {
  const value = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
  return value === undefined ? null : Math.round(value);
}

/** Times to reconnect; percentiles of the last 500. */
export class ReconnectTimes {
  #times: number[] = [];

  add(ms: number): void {
    this.#times.push(ms);
    if (this.#times.length > KEPT) this.#times.shift();
  }

  /** In ms; null before the first. */
  get percentiles(): { p50: number | null; p95: number | null } {
    const sorted = [...this.#times].sort((a, b) => a - b);
    return { p50: percentile(sorted, 0.5), p95: percentile(sorted, 0.95) };
  }
}

/** Most events of a minute that are told apart. */
const PER_MINUTE_MAX = 20_000;

/** How often something happened in the last minute. */
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
  readonly malformed = new Counter(
    'hr_gateway_ble_notifications_malformed_total',
    'Notifications that are no heart rate, by reason.',
  );
  readonly readings = new Counter('hr_gateway_ble_readings_total', 'Readings taken from straps.');
  readonly #connects = new Counter('hr_gateway_ble_connects_total', 'Connections to straps.');
  readonly #disconnects = new Counter('hr_gateway_ble_disconnects_total', 'Ends of links to straps, by reason.');
  readonly #reconnectSeconds = new Histogram(
    'hr_gateway_ble_reconnect_seconds',
    'From the loss of a strap to its next notification.',
    [0.5, 1, 2, 5, 10, 20, 60, 300],
  );
  readonly #byReason: Disconnects = {};
  readonly #reconnects = new ReconnectTimes();
  #connectCount = 0;

  connected(): void {
    this.#connectCount += 1;
    this.#connects.add();
  }

  ended(reason: string): void {
    this.#byReason[reason] = (this.#byReason[reason] ?? 0) + 1;
    this.#disconnects.add(1, { reason });
  }

  reconnected(ms: number): void {
    this.#reconnects.add(ms);
    this.#reconnectSeconds.observe(ms / 1000);
  }

  get connects(): number {
    return this.#connectCount;
  }

  get disconnects(): Disconnects {
    return { ...this.#byReason };
  }

  /** Time to reconnect in ms, of the last 500. */
  get reconnectMs(): { p50: number | null; p95: number | null } {
    return this.#reconnects.percentiles;
  }

  metrics(): Metric[] {
    return [this.malformed, this.readings, this.#connects, this.#disconnects, this.#reconnectSeconds].map((metric) =>
      metric.read(),
    );
  }
}
