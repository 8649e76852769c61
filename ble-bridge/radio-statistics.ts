/** Counts of the radio for status and metrics. */
import type { Metric } from '../contract/service-status.ts';
import { Counter, Histogram } from '../service/metrics.ts';

/** Times to reconnect of which the percentiles are made. */
const KEPT = 500;

function percentile(sorted: readonly number[], share: number): number | null {
  const value = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
  return value === undefined ? null : Math.round(value);
}

export class RadioStatistics {
  readonly malformed = new Counter('hr_gateway_ble_notifications_malformed_total', 'Notifications that are no heart rate, by reason.');
  readonly readings = new Counter('hr_gateway_ble_readings_total', 'Readings taken from straps.');
  readonly #connects = new Counter('hr_gateway_ble_connects_total', 'Connections to straps.');
  readonly #disconnects = new Counter('hr_gateway_ble_disconnects_total', 'Ends of links to straps, by reason.');
  readonly #reconnectSeconds = new Histogram('hr_gateway_ble_reconnect_seconds', 'From the loss of a strap to its next notification.', [0.5, 1, 2, 5, 10, 20, 60, 300]);
  readonly #byReason: Record<string, number> = {};
  #connectCount = 0;
  #times: number[] = [];

  connected(): void {
    this.#connectCount += 1;
    this.#connects.add();
  }

  ended(reason: string): void {
    this.#byReason[reason] = (this.#byReason[reason] ?? 0) + 1;
    this.#disconnects.add(1, { reason });
  }

  reconnected(ms: number): void {
    this.#times = [...this.#times.slice(-(KEPT - 1)), ms];
    this.#reconnectSeconds.observe(ms / 1000);
  }

  get connects(): number {
    return this.#connectCount;
  }

  get disconnects(): Record<string, number> {
    return { ...this.#byReason };
  }

  /** Time to reconnect in ms, of the last 500. */
  get reconnectMs(): { p50: number | null; p95: number | null } {
    const sorted = [...this.#times].sort((a, b) => a - b);
    return { p50: percentile(sorted, 0.5), p95: percentile(sorted, 0.95) };
  }

  metrics(): Metric[] {
    return [this.malformed, this.readings, this.#connects, this.#disconnects, this.#reconnectSeconds].map((metric) => metric.read());
  }
}
