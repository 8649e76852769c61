/**
 * Publishes a service's retained status and its metrics. Keeps `since` of each check: it changes only if the check's status or reason
 * code changes. Notices another box of the same name on the broker by statuses on its own topic that it did not publish.
 */
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { REASON_MAX_LENGTH, type Check } from '../../contract/check.ts';
import type { Metric, MetricsMessage } from '../../contract/metrics.ts';
import { STATUS_INTERVAL_MS, type ServiceDetails, type ServiceStatus } from '../../contract/service-status.ts';
import { serviceMetricsTopic, serviceStatusTopic, type ServiceName } from '../../contract/topics.ts';
import type { CheckReport } from '../health/check-report.ts';
import { VERSION } from '../process/version.ts';
import type { MessageHandler } from './mqtt-link.ts';
import { NameWatch } from './name-watch.ts';

export interface StatusLine {
  publish(topic: string, payload: string, options?: { retain?: boolean }): boolean;
  on(event: 'up', listener: () => void): unknown;
}

export interface StatusReporterOptions {
  service: ServiceName;
  /** Name of this box; called from `start` on. */
  gateway: () => string;
  link: StatusLine;
  checks: () => readonly CheckReport[];
  details?: () => ServiceDetails;
  metrics?: () => readonly Metric[];
  /**
   * The urgent part of the status, as text: changes to anything else wait for the next regular status. Default: everything is
   * urgent.
   */
  news?: () => string;
  /** How often status and metrics are published if nothing changed; default STATUS_INTERVAL_MS. */
  intervalMs?: number;
}

const CHANGE_DELAY_MS = 250;
/** Continuous changes are published at most once in this time: every subscriber parses each status. */
const CHANGES_APART_MS = 1000;

/** The last will of a service: its status, offline. */
export function offlineWill(gateway: string, service: ServiceName): { topic: string; payload: string; retain: boolean } {
  const status: ServiceStatus = { service, state: 'offline', since: new Date().toISOString(), version: VERSION };
  return { topic: serviceStatusTopic(gateway, service), payload: JSON.stringify(status), retain: true };
}

export class StatusReporter {
  readonly #options: StatusReporterOptions;
  readonly #since = new Date().toISOString();
  readonly #checks = new Map<string, Check>();
  /** Of this service, in each status that it publishes. */
  readonly instance = randomBytes(8).toString('hex');
  readonly #nameWatch: NameWatch;
  #interval: NodeJS.Timeout | undefined;
  #soon: NodeJS.Timeout | undefined;
  #publishedAtMs = Number.NEGATIVE_INFINITY;
  #publishedNews: string | undefined;

  constructor(options: StatusReporterOptions) {
    this.#options = options;
    this.#nameWatch = new NameWatch({ service: options.service, gateway: options.gateway, instance: this.instance });
  }

  /** To be spread into the subscriptions of the service's MqttLink; call it from `start` on. */
  get subscriptions(): Record<string, MessageHandler> {
    return this.#nameWatch.subscriptions;
  }

  start(): void {
    this.#options.link.on('up', () => this.#publish());
    this.#interval = setInterval(() => this.#publish(), this.#options.intervalMs ?? STATUS_INTERVAL_MS);
    this.#publish();
  }

  /** Call when something that the status shows has changed: it is published soon, together with further changes until then. */
  changed(): void {
    this.#soon ??= setTimeout(
      () => {
        this.#soon = undefined;
        const news = this.#options.news?.();
        if (news === undefined || news !== this.#publishedNews) this.#publishStatus('online');
      },
      Math.max(CHANGE_DELAY_MS, this.#publishedAtMs + CHANGES_APART_MS - performance.now()),
    );
  }

  /** Publishes `offline`; call before the link is stopped. */
  stop(): void {
    clearInterval(this.#interval);
    clearTimeout(this.#soon);
    this.#publishStatus('offline');
  }

  #currentChecks(): Check[] {
    const now = new Date().toISOString();
    const reports = [...this.#options.checks(), ...this.#nameWatch.checks()];
    for (const report of reports) {
      const before = this.#checks.get(report.name);
      const same = before !== undefined && before.status === report.status && before.code === report.code;
      const reason = report.reason.slice(0, REASON_MAX_LENGTH);
      this.#checks.set(report.name, { ...report, reason, since: same ? before.since : now });
    }
    return reports.flatMap(({ name }) => this.#checks.get(name) ?? []);
  }

  /** The status that would be published now. */
  current(state: 'online' | 'offline' = 'online'): ServiceStatus {
    return {
      service: this.#options.service,
      state,
      since: state === 'online' ? this.#since : new Date().toISOString(),
      version: VERSION,
      pid: process.pid,
      instance: this.instance,
      host: hostname(),
      as_of: new Date().toISOString(),
      checks: this.#currentChecks(),
      ...this.#options.details?.(),
    };
  }

  #publishStatus(state: 'online' | 'offline'): void {
    this.#publishedAtMs = performance.now();
    this.#publishedNews = this.#options.news?.();
    const { gateway, service, link } = this.#options;
    link.publish(serviceStatusTopic(gateway(), service), JSON.stringify(this.current(state)), { retain: true });
  }

  #publish(): void {
    this.#publishStatus('online');
    const metrics = this.#options.metrics?.();
    if (metrics === undefined) return;
    const { gateway, service, link } = this.#options;
    const message: MetricsMessage = { service, as_of: new Date().toISOString(), metrics: [...metrics] };
    link.publish(serviceMetricsTopic(gateway(), service), JSON.stringify(message));
  }
}
