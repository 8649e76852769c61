/**
 * Notices that another box of the same name uses the broker: a service receives its own status topic, and a status there that it did not
 * publish is another one's. Both boxes see each other. Readings of two boxes of one name cannot be told apart.
 */
import { parseServiceStatus, STATUS_STALE_MS, type ServiceStatus } from '../../contract/service-status.ts';
import { serviceStatusTopic, type ServiceName } from '../../contract/topics.ts';
import { failing, type CheckReport } from '../health/check-report.ts';
import type { MessageHandler } from './subscription-routes.ts';

export interface NameWatchOptions {
  service: ServiceName;
  /** Name of this box. */
  gateway: () => string;
  /** Of this process; its own statuses contain it. */
  instance: string;
  /** Milliseconds, monotonic; for tests. */
  now?: () => number;
}

/** One status may be the last one of our own predecessor; statuses that continue for this long are another box's. */
const CONTINUES_MS = 3000;

export class NameWatch {
  readonly #options: NameWatchOptions;
  readonly #now: () => number;
  #other: ServiceStatus | undefined;
  #firstAtMs = Number.NEGATIVE_INFINITY;
  #lastAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: NameWatchOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  get subscriptions(): Record<string, MessageHandler> {
    const { gateway, service } = this.#options;
    return { [serviceStatusTopic(gateway(), service)]: (_, payload, retained) => this.#received(payload, retained) };
  }

  #received(payload: Buffer, retained: boolean): void {
    // A retained status may be one of our own predecessor. Our own statuses are the rule: they are recognised without being parsed.
    if (retained || payload.includes(this.#options.instance)) return;
    const status = parseServiceStatus(payload);
    // What does not match the contract is counted by the readers of all statuses; a last will names no instance.
    if (!status.ok || status.value.instance === undefined || status.value.state === 'offline') return;
    const now = this.#now();
    if (status.value.instance !== this.#other?.instance || now - this.#lastAtMs > STATUS_STALE_MS) this.#firstAtMs = now;
    this.#other = status.value;
    this.#lastAtMs = now;
  }

  /** A failing check while another box of this name publishes, else none. */
  checks(): CheckReport[] {
    const isTaken = this.#lastAtMs - this.#firstAtMs >= CONTINUES_MS && this.#now() - this.#lastAtMs <= STATUS_STALE_MS;
    if (!isTaken || this.#other === undefined) return [];
    const { host = 'an unknown host', pid = 0 } = this.#other;
    const { gateway, service } = this.#options;
    const detail = `the ${service} of another box is named ${gateway()} too: on ${host}, process ${pid}`;
    return [failing('gateway name', 'gateway_name_taken', detail)];
  }
}
