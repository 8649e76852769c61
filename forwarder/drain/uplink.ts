/** The state of the uplink. It is changed in one place only, and each change is logged. */
import { EventEmitter } from 'node:events';
import type { Uplink, UplinkState } from '../../contract/forwarder-status.ts';
import type { Logger } from '../../service/log/log.ts';
import type { FailureClass } from '../sink/sink.ts';

/** States that an operator has to resolve; the others may recover by themselves. */
const NEEDS_OPERATOR: ReadonlySet<UplinkState> = new Set([
  'unauthorized',
  'credentials_expired',
  'stream_missing',
  'kms_error',
  'clock_skew',
]);
/** A flapping uplink is logged at most this often. */
const LOG_EVERY_MS = 10_000;

export interface UplinkCondition {
  state: UplinkState;
  /** Empty while `ok`. */
  detail: string;
  hint: string;
  /** When the state was entered (RFC 3339). */
  since: string;
}

export class UplinkStatus extends EventEmitter<{ changed: [] }> {
  readonly #log: Logger;
  #uplink: UplinkCondition = { state: 'ok', detail: '', hint: '', since: new Date().toISOString() };
  #loggedState: UplinkState = 'ok';
  #loggedAt = Number.NEGATIVE_INFINITY;
  #changes = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(log: Logger) {
    super();
    this.#log = log;
  }

  get current(): UplinkCondition {
    return this.#uplink;
  }

  /** As the service's status shows it. */
  asStatus(): Uplink {
    const { state, detail, hint, since } = this.#uplink;
    return { state, reason: detail, hint, since };
  }

  #set({ state, detail, hint }: Omit<UplinkCondition, 'since'>): void {
    const changed = state !== this.#uplink.state;
    this.#uplink = { state, detail, hint, since: changed ? new Date().toISOString() : this.#uplink.since };
    if (!changed) return;
    this.#changes += 1;
    const sinceLogged = performance.now() - this.#loggedAt;
    if (sinceLogged >= LOG_EVERY_MS) this.#logState();
    else this.#timer ??= setTimeout(() => this.#logState(), LOG_EVERY_MS - sinceLogged);
    this.emit('changed');
  }

  #logState(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const { state, reason, hint } = this.asStatus();
    if (state === this.#loggedState && this.#changes < 2) return;
    this.#loggedAt = performance.now();
    this.#loggedState = state;
    const changes = this.#changes > 1 ? { changes: this.#changes } : {};
    this.#changes = 0;
    if (state === 'ok') this.#log.info({ event: 'uplink_ok', ...changes }, 'upload resumed');
    else if (NEEDS_OPERATOR.has(state))
      this.#log.error(
        { event: 'uplink_failed', state, reason, hint, ...changes },
        'upload failing, operator action required; readings wait in the queue',
      );
    else
      this.#log.warn({ event: 'uplink_degraded', state, reason, hint, ...changes }, 'upload failing; readings wait in the queue');
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  succeeded(): void {
    if (this.#uplink.state !== 'ok') this.#set({ state: 'ok', detail: '', hint: '' });
  }

  failed(failure: FailureClass): void {
    this.#set(failure);
  }
}
