/** The uplink's state in words, changed in one place, and said in the log when it changes. */
import type { Uplink, UplinkState } from '../../contract/service-status.ts';
import type { Logger } from '../../service/log/log.ts';
import type { CheckReport } from '../../service/mqtt/status-reporter.ts';
import type { FailureClass } from '../sink/sink.ts';

/** States in which a person is needed; the others heal by themselves. */
const NEEDS_A_PERSON: ReadonlySet<UplinkState> = new Set([
  'unauthorized',
  'credentials_expired',
  'stream_missing',
  'kms_error',
  'clock_skew',
]);
/** An uplink that comes and goes is said this often. */
const SAY_EVERY_MS = 10_000;

export class UplinkStatus {
  readonly #log: Logger;
  readonly #onChange: () => void;
  #uplink: Uplink = { state: 'ok', reason: '', hint: '', since: new Date().toISOString() };
  #saidState: UplinkState = 'ok';
  #saidAt = Number.NEGATIVE_INFINITY;
  #changes = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(log: Logger, onChange: () => void) {
    this.#log = log;
    this.#onChange = onChange;
  }

  get current(): Uplink {
    return this.#uplink;
  }

  #set(state: UplinkState, reason: string, hint: string): void {
    const changed = state !== this.#uplink.state;
    this.#uplink = { state, reason, hint, since: changed ? new Date().toISOString() : this.#uplink.since };
    if (!changed) return;
    this.#changes += 1;
    const sinceSaid = performance.now() - this.#saidAt;
    if (sinceSaid >= SAY_EVERY_MS) this.#say();
    else this.#timer ??= setTimeout(() => this.#say(), SAY_EVERY_MS - sinceSaid);
    this.#onChange();
  }

  #say(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const { state, reason, hint } = this.#uplink;
    if (state === this.#saidState && this.#changes < 2) return;
    this.#saidAt = performance.now();
    this.#saidState = state;
    const changes = this.#changes > 1 ? { changes: this.#changes } : {};
    this.#changes = 0;
    if (state === 'ok') this.#log.info({ event: 'uplink_ok', ...changes }, 'readings leave again');
    else if (NEEDS_A_PERSON.has(state))
      this.#log.error(
        { event: 'uplink_failed', state, reason, hint, ...changes },
        'readings do not leave, and a person is needed; they wait in the queue',
      );
    else
      this.#log.warn(
        { event: 'uplink_degraded', state, reason, hint, ...changes },
        'readings do not leave; they wait in the queue',
      );
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  succeeded(): void {
    if (this.#uplink.state !== 'ok') this.#set('ok', '', '');
  }

  failed(failure: FailureClass): void {
    this.#set(failure.state, failure.reason, failure.hint);
  }

  check(): CheckReport {
    const { state, reason, hint } = this.#uplink;
    return { name: 'uplink', status: state === 'ok' ? 'ok' : state === 'throttled' ? 'warn' : 'fail', reason, hint };
  }
}
