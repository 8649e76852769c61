/**
 * Publishes a service's retained status and its metrics. `since` of a check is kept here: it changes with the check's status or
 * coded reason only.
 */
import type { Check, Metric, MetricsMessage, ServiceDetails, ServiceStatus } from '../../contract/service-status.ts';
import { serviceMetricsTopic, serviceStatusTopic, type ServiceName } from '../../contract/topics.ts';
import { VERSION } from '../process/version.ts';

export interface CheckReport {
  name: string;
  status: Check['status'];
  reason: string;
  hint: string;
}

/** A line of health that is well. */
export const okCheck = (name: string): CheckReport => ({ name, status: 'ok', reason: '', hint: '' });

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
  /** What of a change must be seen at once; while this text stays the same, changes wait for the next regular status. All of it where left out. */
  news?: () => string;
  /** How often status and metrics go out though nothing changed. */
  intervalMs?: number;
}

const CHANGE_DELAY_MS = 250;
/** Changes that go on and on are said once in this time: everybody who listens parses each status. */
const CHANGES_APART_MS = 1000;

/** The will of a service: its status, offline. */
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
  #publishedAtMs = Number.NEGATIVE_INFINITY;
  #publishedNews: string | undefined;

  constructor(options: StatusReporterOptions) {
    this.#options = options;
  }

  start(): void {
    this.#options.link.on('up', () => this.#publish());
    this.#interval = setInterval(() => this.#publish(), this.#options.intervalMs ?? 5000);
    this.#publish();
  }

  /** Something that the status shows has changed: it goes out soon, together with what else changes meanwhile. */
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

  /** Says offline in order; call before the link is stopped. */
  stop(): void {
    clearInterval(this.#interval);
    clearTimeout(this.#soon);
    this.#publishStatus('offline');
  }

  #currentChecks(): Check[] {
    const now = new Date().toISOString();
    const reports = this.#options.checks();
    for (const report of reports) {
      const before = this.#checks.get(report.name);
      const same = before !== undefined && before.status === report.status && codeOf(before.reason) === codeOf(report.reason);
      this.#checks.set(report.name, { ...report, since: same ? before.since : now });
    }
    return reports.flatMap(({ name }) => this.#checks.get(name) ?? []);
  }

  /** The status as it would be published now. */
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

/** The code of a coded reason: what stands before the first colon. */
function codeOf(reason: string): string {
  return reason.split(':', 1)[0] ?? '';
}
