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
import { logChecks, logMetric } from '../health/log-check.ts';
import { RepeatLimiter, type Logger } from '../log/log.ts';
import { VERSION } from '../process/version.ts';
import { maskTexts } from '../secrets/mask-fields.ts';
import type { MessageHandler } from './subscription-routes.ts';
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
   * The part of the status that is urgent, as text. Changes to anything else wait for the next regular status, or until nothing has changed
   * for a second, so that the last numbers of a flow are known at once. Default: everything is urgent.
   */
  news?: () => string;
  /** Each check that begins or ceases to fail is logged here, whatever found it. */
  log?: Logger;
  /** How often status and metrics are published if nothing changed; default STATUS_INTERVAL_MS. */
  intervalMs?: number;
}

const CHANGE_DELAY_MS = 250;
/** Brokers with a size limit end the connection of a service that publishes more, or swallow the message: metrics go in parts. */
const METRICS_BYTES_MAX = 2500;
/** How often checks are evaluated between regular statuses, whose interval is 5 s. More often would wake a calm box for nothing. */
/** A check is logged once it has failed for so long. */
const LOGGED_AFTER_MS = 4000;
const CHECK_EVERY_MS = 2500;
/** Continuous changes are published at most once in this time: every subscriber parses each status. */
const CHANGES_APART_MS = 1000;
/** Counts that are no news are published once they stopped changing: nobody reads numbers of a flow that has ended. */
const QUIET_MS = 1000;

/** The last will of a service: its status, offline. */
export function offlineWill(gateway: string, service: ServiceName): { topic: string; payload: string; retain: boolean } {
  const status: ServiceStatus = { service, state: 'offline', since: new Date().toISOString(), version: VERSION };
  return { topic: serviceStatusTopic(gateway, service), payload: JSON.stringify(status), retain: true };
}

export class StatusReporter {
  readonly #options: StatusReporterOptions;
  readonly #since = new Date().toISOString();
  readonly #known = new Map<string, Check>();
  readonly #repeats: RepeatLimiter | undefined;
  /** Failing checks: what is wrong, since when, and whether that was logged. `sinceMs`: performance.now(). */
  readonly #failing = new Map<string, { code: string; sinceMs: number; isLogged: boolean }>();
  /** Of this service, in each status that it publishes. */
  readonly instance = randomBytes(8).toString('hex');
  readonly #nameWatch: NameWatch;
  #interval: NodeJS.Timeout | undefined;
  #checking: NodeJS.Timeout | undefined;
  #publishedCodes = '';
  #soon: NodeJS.Timeout | undefined;
  #quiet: NodeJS.Timeout | undefined;
  #changedAtMs = Number.NEGATIVE_INFINITY;
  #publishedAtMs = Number.NEGATIVE_INFINITY;
  #publishedNews: string | undefined;

  constructor(options: StatusReporterOptions) {
    this.#options = options;
    this.#repeats = options.log === undefined ? undefined : new RepeatLimiter(options.log);
    this.#nameWatch = new NameWatch({ service: options.service, gateway: options.gateway, instance: this.instance });
  }

  /** To be spread into the subscriptions of the service's MqttLink; call it from `start` on. */
  get subscriptions(): Record<string, MessageHandler> {
    return this.#nameWatch.subscriptions;
  }

  start(): void {
    this.#options.link.on('up', () => this.#publish());
    this.#interval = setInterval(() => this.#publish(), this.#options.intervalMs ?? STATUS_INTERVAL_MS);
    this.#checking = setInterval(() => {
      if (this.#codes() !== this.#publishedCodes) this.#publishStatus('online');
    }, CHECK_EVERY_MS);
    this.#publish();
  }

  #codes(): string {
    return this.#options
      .checks()
      .map(({ name, status, code }) => `${name} ${status} ${code}`)
      .join('\n');
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
    clearInterval(this.#checking);
    clearTimeout(this.#soon);
    clearTimeout(this.#quiet);
    this.#publishStatus('offline');
  }

  /** The checks of this service now, with the time since which each is as it is. */
  get checks(): Check[] {
    const now = new Date().toISOString();
    const reports = [...this.#options.checks(), ...this.#nameWatch.checks(), ...logChecks()];
    for (const report of reports) {
      const before = this.#known.get(report.name);
      const same = before !== undefined && before.status === report.status && before.code === report.code;
      const reason = report.reason.slice(0, REASON_MAX_LENGTH);
      this.#known.set(report.name, { ...report, reason, since: same ? before.since : now });
    }
    return reports.flatMap(({ name }) => this.#known.get(name) ?? []);
  }

  /** Logs checks that fail for a while: at a start some do for a moment. One that flaps is logged now and then. */
  #logChanges(checks: readonly Check[]): void {
    const nowMs = performance.now();
    const failing = checks.filter(({ status }) => status !== 'ok');
    for (const [name, { code, isLogged }] of this.#failing) {
      if (failing.some((check) => check.name === name)) continue;
      this.#failing.delete(name);
      if (isLogged)
        this.#repeats?.info(`check ${name} ok`, { event: 'check_ok', check: name, was: code }, 'a check of health is ok again');
    }
    for (const { name, status, code, reason, hint } of failing) {
      let known = this.#failing.get(name);
      if (known?.code !== code) this.#failing.set(name, (known = { code, sinceMs: nowMs, isLogged: false }));
      if (known.isLogged || nowMs - known.sinceMs < LOGGED_AFTER_MS) continue;
      known.isLogged = true;
      this.#repeats?.warn(
        `check ${name} ${code}`,
        { event: 'check_failing', check: name, status, code, reason, hint },
        'a check of health fails',
      );
    }
  }

  /** The status that would be published now. */
  current(state: 'online' | 'offline' = 'online'): ServiceStatus {
    const { checks } = this;
    return {
      service: this.#options.service,
      state,
      since: state === 'online' ? this.#since : new Date().toISOString(),
      version: VERSION,
      pid: process.pid,
      instance: this.instance,
      host: hostname(),
      as_of: new Date().toISOString(),
      checks,
      ...this.#options.details?.(),
    };
  }

  #publishStatus(state: 'online' | 'offline'): void {
    this.#publishedAtMs = performance.now();
    this.#publishedNews = this.#options.news?.();
    this.#publishedCodes = this.#codes();
    const { gateway, service, link } = this.#options;
    const status = this.current(state);
    if (state === 'online') this.#logChanges(status.checks ?? []);
    link.publish(serviceStatusTopic(gateway(), service), JSON.stringify(status, maskTexts), { retain: true });
  }

  /**
   * Metrics first: a plain Aedes broker delivers a retained message one step later than the unretained one behind it, and then discards
   * it as a duplicate (moscajs/aedes#955). A status followed by metrics was never seen by its subscribers.
   */
  #publish(): void {
    this.#publishMetrics();
    this.#publishStatus('online');
  }

  #publishMetrics(): void {
    const metrics = this.#options.metrics?.();
    if (metrics === undefined) return;
    const { gateway, service, link } = this.#options;
    const common = { service, as_of: new Date().toISOString() };
    for (const part of partsOf([...metrics, logMetric(service)])) {
      const message: MetricsMessage = { ...common, metrics: part };
      link.publish(serviceMetricsTopic(gateway(), service), JSON.stringify(message));
    }
  }
}

/** Metrics in parts of a bounded size; all parts of one moment have the same `as_of`. One large metric is a part of its own. */
function partsOf(metrics: readonly Metric[]): Metric[][] {
  const parts: Metric[][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const metric of metrics) {
    const size = JSON.stringify(metric).length + 1;
    bytes += size;
    if (bytes > METRICS_BYTES_MAX) {
      parts.push([]);
      bytes = size;
    }
    parts.at(-1)?.push(metric);
  }
  return parts;
}
