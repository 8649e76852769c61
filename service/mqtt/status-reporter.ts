/**
 * Publishes a service's retained status and its metrics. Keeps `since` of each check: it changes only if the check's status or reason
 * code changes.
 */
import { REASON_MAX_LENGTH, type Check } from '../../contract/check.ts';
import type { Metric, MetricsMessage } from '../../contract/metrics.ts';
import { STATUS_INTERVAL_MS, type ServiceDetails, type ServiceStatus } from '../../contract/service-status.ts';
import { serviceMetricsTopic, serviceStatusTopic, type ServiceName } from '../../contract/topics.ts';
import type { CheckReport } from '../health/check-report.ts';
import { VERSION } from '../process/version.ts';

export interface StatusLine {
  publish(topic: string, payload: string, options?: { retain?: boolean }): boolean;
  on(event: 'up', listener: () => void): unknown;
}

export interface StatusReporterOptions {
  service: ServiceName;
  link: StatusLine;
  checks: () => readonly CheckReport[];
  details?: () => ServiceDetails;
  metrics?: () => readonly Metric[];
  /**
   * The part of the status that is urgent, as text. Changes to anything else wait for the next regular status, or until nothing has changed
   * for a second, so that the last numbers of a flow are known at once. Default: everything is urgent.
   */
  news?: () => string;
  /** How often status and metrics are published if nothing changed; default STATUS_INTERVAL_MS. */
  intervalMs?: number;
}

const CHANGE_DELAY_MS = 250;
/** Continuous changes are published at most once in this time: every subscriber parses each status. */
const CHANGES_APART_MS = 1000;
/** Counts that are no news are published once they stopped changing: nobody reads numbers of a flow that has ended. */
const QUIET_MS = 1000;

/** The last will of a service: its status, offline. */
export function offlineWill(service: ServiceName): { topic: string; payload: string; retain: boolean } {
  const status: ServiceStatus = { service, state: 'offline', since: new Date().toISOString(), version: VERSION };
  return { topic: serviceStatusTopic(service), payload: JSON.stringify(status), retain: true };
}

export class StatusReporter {
  readonly #options: StatusReporterOptions;
  readonly #since = new Date().toISOString();
  readonly #checks = new Map<string, Check>();
  #interval: NodeJS.Timeout | undefined;
  #soon: NodeJS.Timeout | undefined;
  #quiet: NodeJS.Timeout | undefined;
  #changedAtMs = Number.NEGATIVE_INFINITY;
  #publishedAtMs = Number.NEGATIVE_INFINITY;
  #publishedNews: string | undefined;

  constructor(options: StatusReporterOptions) {
    this.#options = options;
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
    if (this.#options.news !== undefined) this.#publishWhenQuiet();
  }

  /** A steady flow only moves the timer on: it publishes nothing and wakes nobody. */
  #publishWhenQuiet(): void {
    this.#changedAtMs = performance.now();
    if (this.#quiet !== undefined) return void this.#quiet.refresh();
    this.#quiet = setTimeout(() => {
      this.#quiet = undefined;
      // A status of the last second has the last change.
      if (this.#publishedAtMs < this.#changedAtMs) this.#publishStatus('online');
    }, QUIET_MS);
  }

  /** Publishes `offline`; call before the link is stopped. */
  stop(): void {
    clearInterval(this.#interval);
    clearTimeout(this.#soon);
    clearTimeout(this.#quiet);
    this.#publishStatus('offline');
  }

  #currentChecks(): Check[] {
    const now = new Date().toISOString();
    const reports = this.#options.checks();
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
      as_of: new Date().toISOString(),
      checks: this.#currentChecks(),
      ...this.#options.details?.(),
    };
  }

  #publishStatus(state: 'online' | 'offline'): void {
    this.#publishedAtMs = performance.now();
    this.#publishedNews = this.#options.news?.();
    this.#options.link.publish(serviceStatusTopic(this.#options.service), JSON.stringify(this.current(state)), { retain: true });
  }

  #publish(): void {
    this.#publishStatus('online');
    const metrics = this.#options.metrics?.();
    if (metrics === undefined) return;
    const message: MetricsMessage = { service: this.#options.service, as_of: new Date().toISOString(), metrics: [...metrics] };
    this.#options.link.publish(serviceMetricsTopic(this.#options.service), JSON.stringify(message));
  }
}
