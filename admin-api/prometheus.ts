/** /metrics: what the services say over MQTT, as Prometheus text, beside this process's own figures (prom-client). */
import { collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { Metric } from '../contract/service-status.ts';
import { SERVICE_NAMES } from '../contract/topics.ts';
import type { Fleet } from './fleet.ts';

const escapeLabel = (text: string): string => text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');

function labelsText(labels: Readonly<Record<string, string>>): string {
  const parts = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`);
  return parts.length === 0 ? '' : `{${parts.join(',')}}`;
}

function linesOf(metric: Metric): string[] {
  if (metric.type !== 'histogram')
    return (metric.values ?? []).map(
      ({ labels, value }) => `${metric.name}${labelsText(labels as Record<string, string>)} ${value}`,
    );
  const counts = metric.counts ?? [];
  const bounds = [...(metric.bounds ?? []).map(String), '+Inf'];
  return [
    ...bounds.map((bound, index) => `${metric.name}_bucket{le="${bound}"} ${counts[index] ?? 0}`),
    `${metric.name}_sum ${metric.sum ?? 0}`,
    `${metric.name}_count ${counts.at(-1) ?? 0}`,
  ];
}

/** What stands before the figures of this process. */
const OWN = 'hr_gateway_admin_';
const HOUR_MS = 3_600_000;

export class Prometheus {
  readonly #registry = new Registry();
  readonly #fleet: Fleet;

  constructor(fleet: Fleet) {
    this.#fleet = fleet;
    new Gauge({
      name: 'hr_gateway_service_up',
      help: '1 where the service is online and has said so lately',
      labelNames: ['service'],
      registers: [this.#registry],
      collect() {
        for (const service of SERVICE_NAMES) {
          const heard = fleet.service(service);
          if (heard !== undefined) this.set({ service }, heard.stale ? 0 : 1);
        }
      },
    });
    new Gauge({
      name: 'hr_gateway_straps',
      help: 'Straps by state',
      labelNames: ['state'],
      registers: [this.#registry],
      collect() {
        this.reset();
        for (const { state } of fleet.devices()) this.inc({ state });
      },
    });
    // Its monitor of the event loop's delay wakes the process a hundred times a second, half of what an idle one costs: the delay is taken at each scrape alone.
    collectDefaultMetrics({ register: this.#registry, prefix: OWN, eventLoopMonitoringPrecision: HOUR_MS });
    for (const name of ['min', 'max', 'mean', 'stddev', 'p50', 'p90', 'p99'])
      this.#registry.removeSingleMetric(`${OWN}nodejs_eventloop_lag_${name}_seconds`);
    // Gauges that are named like counters, against Prometheus' conventions.
    for (const name of ['handles', 'requests', 'resources'])
      this.#registry.removeSingleMetric(`${OWN}nodejs_active_${name}_total`);
  }

  async text(): Promise<string> {
    const seen = new Set<string>();
    const lines: string[] = [];
    for (const { metrics } of this.#fleet.metrics)
      for (const metric of metrics) {
        if (seen.has(metric.name)) continue;
        seen.add(metric.name);
        lines.push(
          `# HELP ${metric.name} ${metric.help.replaceAll('\n', ' ')}`,
          `# TYPE ${metric.name} ${metric.type}`,
          ...linesOf(metric),
        );
      }
    return `${await this.#registry.metrics()}${lines.join('\n')}\n`;
  }

  get contentType(): string {
    return this.#registry.contentType;
  }
}
