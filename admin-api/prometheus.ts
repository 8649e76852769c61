/** /metrics: the services' metrics, received over MQTT, as Prometheus text, beside this process's own (prom-client). */
import { collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { Metric } from '../contract/metrics.ts';
import type { KnownDevice } from './answer-schemas.ts';
import type { Fleet } from './fleet.ts';
import type { BoxCheck } from './health.ts';

const escapeLabel = (text: string): string => text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');

function labelsText(labels: Readonly<Record<string, string>>): string {
  const parts = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`);
  return parts.length === 0 ? '' : `{${parts.join(',')}}`;
}

/** The lines of a metric with the label `gateway`: whose it is. A metric that has such a label itself keeps its own. */
function linesOf(metric: Metric, gateway: string): string[] {
  if (metric.type !== 'histogram')
    return metric.values.map(({ labels, value }) => `${metric.name}${labelsText({ gateway, ...labels })} ${value}`);
  const { name, counts, sum } = metric;
  const bounds = [...metric.bounds.map(String), '+Inf'];
  return [
    ...bounds.map((le, index) => `${name}_bucket${labelsText({ gateway, le })} ${counts[index] ?? 0}`),
    `${name}_sum${labelsText({ gateway })} ${sum}`,
    `${name}_count${labelsText({ gateway })} ${counts.at(-1) ?? 0}`,
  ];
}

/** Prefix of this process's own metrics. */
const OWN = 'hr_gateway_admin_';
const HOUR_MS = 3_600_000;
/** Other clients choose names as they like: so many are labels. */
const LABELLED_DEVICES_MAX = 100;

const isOfClient = ({ publisher }: KnownDevice): boolean => publisher !== null;

export class Prometheus {
  readonly #registry = new Registry();
  readonly #fleet: Fleet;

  /** `checks`: those of `GET /health`. */
  constructor(fleet: Fleet, checks: () => readonly BoxCheck[]) {
    this.#fleet = fleet;
    new Gauge({
      name: 'hr_gateway_check',
      help: '1 for each check of GET /health, with its status and reason code',
      labelNames: ['gateway', 'check', 'status', 'code'],
      registers: [this.#registry],
      collect() {
        this.reset();
        for (const { gateway, check } of checks())
          this.set({ gateway, check: check.name, status: check.status, code: check.code }, 1);
      },
    });
    new Gauge({
      name: 'hr_gateway_service_up',
      help: '1 if the service is online and publishes its status',
      labelNames: ['gateway', 'service'],
      registers: [this.#registry],
      collect() {
        this.reset();
        for (const { gateway, service } of fleet.shownServices()) {
          const known = fleet.service(service, gateway);
          if (known !== undefined) this.set({ gateway, service }, known.stale ? 0 : 1);
        }
      },
    });
    new Gauge({
      name: 'hr_gateway_straps',
      help: 'Straps by state and by the box whose bridge reads them',
      labelNames: ['gateway', 'state'],
      registers: [this.#registry],
      collect() {
        this.reset();
        for (const { gateway = fleet.gateway, state } of fleet.devices()) this.inc({ gateway, state });
      },
    });
    new Gauge({
      name: 'hr_gateway_client_device_readings',
      help: 'Readings received of devices of other clients since the start; those beyond the first hundred together',
      labelNames: ['device', 'publisher'],
      registers: [this.#registry],
      collect() {
        this.reset();
        for (const [index, { device, publisher, readings }] of fleet.devices().filter(isOfClient).entries())
          if (index < LABELLED_DEVICES_MAX) this.set({ device, publisher: publisher ?? '' }, readings);
          else this.inc({ device: 'others', publisher: '' }, readings);
      },
    });
    // prom-client's event loop monitor wakes the process a hundred times a second, half of an idle one's CPU: measured at scrapes only.
    collectDefaultMetrics({ register: this.#registry, prefix: OWN, eventLoopMonitoringPrecision: HOUR_MS });
    for (const name of ['min', 'max', 'mean', 'stddev', 'p50', 'p90', 'p99'])
      this.#registry.removeSingleMetric(`${OWN}nodejs_eventloop_lag_${name}_seconds`);
    // Gauges that are named like counters, contrary to Prometheus' conventions.
    for (const name of ['handles', 'requests', 'resources'])
      this.#registry.removeSingleMetric(`${OWN}nodejs_active_${name}_total`);
  }

  async text(): Promise<string> {
    // Several services have metrics of one name, distinguished by their labels: the lines of a name must be together.
    const byName = new Map<string, { head: string[]; lines: Map<string, string> }>();
    for (const { gateway, metrics } of this.#fleet.metrics)
      for (const metric of metrics) {
        const { name, help, type } = metric;
        const head = [`# HELP ${name} ${help.replaceAll('\n', ' ')}`, `# TYPE ${name} ${type}`];
        const entry = byName.get(name) ?? { head, lines: new Map() };
        byName.set(name, entry);
        for (const line of linesOf(metric, gateway)) {
          const sample = line.slice(0, line.lastIndexOf(' '));
          if (!entry.lines.has(sample)) entry.lines.set(sample, line);
        }
      }
    const lines = [...byName.values()].flatMap(({ head, lines: own }) => [...head, ...own.values()]);
    return `${await this.#registry.metrics()}${lines.join('\n')}\n`;
  }

  get contentType(): string {
    return this.#registry.contentType;
  }
}
