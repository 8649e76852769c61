/** Prometheus metrics of the bridge, all of them; the outbox adds its own. Values for the status are in radio/radio-statistics.ts. */
import type { Metric } from '../contract/metrics.ts';
import { Counter, Histogram } from '../service/metrics/metrics.ts';

export class BridgeMetrics {
  readonly malformed = new Counter(
    'hr_gateway_ble_notifications_malformed_total',
    'Notifications that are not a valid heart rate measurement, by reason.',
  );
  readonly readings = new Counter('hr_gateway_ble_readings_total', 'Readings received from straps.');
  readonly connects = new Counter('hr_gateway_ble_connects_total', 'Connections to straps.');
  readonly disconnects = new Counter('hr_gateway_ble_disconnects_total', 'Ends of links to straps, by reason.');
  readonly reconnectSeconds = new Histogram(
    'hr_gateway_ble_reconnect_seconds',
    'Time from the loss of a strap to its next notification.',
    [0.5, 1, 2, 5, 10, 20, 60, 300],
  );

  read(): Metric[] {
    const all = [this.malformed, this.readings, this.connects, this.disconnects, this.reconnectSeconds];
    return all.map((metric) => metric.read());
  }
}
