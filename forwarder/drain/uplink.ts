/** The state of the uplink. It is changed in one place only, and each change is logged. */
import { EventEmitter } from 'node:events';
import { REFUSED_KEYS_SHOWN, type Uplink, type UplinkState } from '../../contract/forwarder-status.ts';
import type { Logger } from '../../service/log/log.ts';
import { systemClock, type Clock, type Timer } from '../../service/pacing/clock.ts';
import { hintOf } from '../../service/errors/reason-catalogue.ts';
import type { FailureClass } from '../sink/sink.ts';
import { shownKey } from './record-failures.ts';
import type { HeldKeys } from './refused-keys.ts';

/** States that an operator has to resolve; the others may recover by themselves. */
const NEEDS_OPERATOR: ReadonlySet<UplinkState> = new Set([
  'unauthorized',
  'credentials_expired',
  'stream_missing',
  'kms_error',
  'clock_skew',
  'misconfigured',
  'local_stream_file',
]);
/** So many refused keys are in the text; the status lists more. */
const KEYS_IN_TEXT = 3;
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
  #timer: Timer | undefined;
  readonly #keys: HeldKeys | undefined;
  readonly #clock: Clock;

  /** `keys`: partition keys that the stream refuses. */
  constructor(log: Logger, keys?: HeldKeys, clock: Clock = systemClock) {
    super();
    this.#log = log;
    this.#keys = keys;
    this.#clock = clock;
  }

  /** The state of the stream as a whole. */
  get current(): UplinkCondition {
    return this.#uplink;
  }

  /** As it is reported: `key_refused` if the stream takes readings, but none of some keys. */
  get reported(): UplinkCondition {
    const held = this.#keys?.longestHeld(KEYS_IN_TEXT) ?? [];
    const [first] = held;
    if (this.#uplink.state !== 'ok' || first === undefined) return this.#uplink;
    const named = held.map(({ key, code, since }) => `${shownKey(key)}: ${code} since ${since}`);
    const moreCount = (this.#keys?.heldCount ?? 0) - held.length;
    const more = moreCount > 0 ? `; and ${moreCount} more` : '';
    return {
      state: 'key_refused',
      detail: `partition key ${named.join('; ')}${more}`,
      hint: hintOf('key_refused'),
      since: first.since,
    };
  }

  /** As the service's status shows it. */
  asStatus(): Uplink {
    const { state, detail, hint, since } = this.reported;
    const held = this.#keys?.longestHeld(REFUSED_KEYS_SHOWN) ?? [];
    const keys = held.map(({ key, code, since: keySince }) => ({ key: key.slice(0, 256), code, since: keySince }));
    return { state, reason: detail, hint, since, ...(keys.length === 0 ? {} : { refused_keys: keys }) };
  }

  /** A partition key is refused, or no longer. */
  keysChanged(): void {
    this.emit('changed');
  }

  #set({ state, detail, hint }: Omit<UplinkCondition, 'since'>): void {
    const changed = state !== this.#uplink.state;
    this.#uplink = { state, detail, hint, since: changed ? new Date().toISOString() : this.#uplink.since };
    if (!changed) return;
    this.#changes += 1;
    const sinceLogged = this.#clock.nowMs() - this.#loggedAt;
    if (sinceLogged >= LOG_EVERY_MS) this.#logState();
    else this.#timer ??= this.#clock.after(LOG_EVERY_MS - sinceLogged, () => this.#logState());
    this.emit('changed');
  }

  #logState(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const { state, detail: reason, hint } = this.#uplink;
    if (state === this.#loggedState && this.#changes < 2) return;
    this.#loggedAt = this.#clock.nowMs();
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
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  succeeded(): void {
    if (this.#uplink.state !== 'ok') this.#set({ state: 'ok', detail: '', hint: '' });
  }

  failed(failure: FailureClass): void {
    this.#set(failure);
  }
}
