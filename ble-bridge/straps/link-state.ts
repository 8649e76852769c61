/**
 * The states of a strap's link, and the only place that changes them.
 *
 *   discovered → connecting → connected → subscribing → streaming ⇄ no_pulse ⇄ no_contact ⇄ silent → lost → …
 *                                 ├→ no_heart_rate_service → lost                      unreadable ⇄ these
 *                                 └→ refused → lost            taken → connecting
 *
 * - discovered: received an advertisement, not connected yet.
 * - connecting: it is this strap's turn in the connect queue.
 * - connected: services are being discovered.
 * - subscribing: notifications are requested; none has arrived.
 * - streaming, no_pulse, no_contact: the kind of the last valid notification.
 * - silent: connected, but without a notification for too long.
 * - unreadable: connected, and what the strap sends are no heart rates. The link is kept: another one would bring the same.
 * - taken: it advertises that it accepts no connection: another device has it.
 * - refused: the strap refused a request that is needed, or pairing. Outlasts the link, as the next state does.
 * - no_heart_rate_service: the peripheral has no heart rate measurement. Outlasts the link.
 * - lost: the link ended, or an attempt failed.
 *
 * What is shown is the state, with one exception: an outlasting state and its reason stay visible while the strap is tried again, until
 * the new attempt shows something else. Otherwise a strap that refuses for ever would be shown as connected from time to time.
 */
import type { DeviceState, StrapReason } from '../../contract/device-status.ts';
import type { HeartRateMeasurement } from '../gatt/hrm-parser.ts';

const TRANSITIONS: Record<DeviceState, readonly DeviceState[]> = {
  discovered: ['connecting', 'taken', 'lost'],
  connecting: ['connected', 'lost'],
  connected: ['subscribing', 'no_heart_rate_service', 'refused', 'lost'],
  subscribing: ['streaming', 'no_pulse', 'no_contact', 'silent', 'unreadable', 'refused', 'lost'],
  streaming: ['no_pulse', 'no_contact', 'silent', 'unreadable', 'lost'],
  no_pulse: ['streaming', 'no_contact', 'silent', 'unreadable', 'lost'],
  no_contact: ['streaming', 'no_pulse', 'silent', 'unreadable', 'lost'],
  silent: ['streaming', 'no_pulse', 'no_contact', 'unreadable', 'refused', 'lost'],
  unreadable: ['streaming', 'no_pulse', 'no_contact', 'silent', 'refused', 'lost'],
  taken: ['connecting', 'lost'],
  refused: ['lost', 'connecting', 'taken'],
  no_heart_rate_service: ['lost', 'connecting', 'taken'],
  lost: ['connecting', 'taken'],
};

/** States that are entered with a connection and stay after its end. */
export const OUTLASTING: ReadonlySet<DeviceState> = new Set(['no_heart_rate_service', 'refused']);
/** States of an attempt that has not shown anything new yet. */
const TRYING: ReadonlySet<DeviceState> = new Set(['connecting', 'connected', 'subscribing']);
const IDLE: ReadonlySet<DeviceState> = new Set(['discovered', 'lost', 'taken', ...OUTLASTING]);

/** The state that a valid measurement stands for. */
export function stateOf(measurement: HeartRateMeasurement): 'streaming' | 'no_pulse' | 'no_contact' {
  if (measurement.bpm === 0) return 'no_pulse';
  return measurement.contact === false ? 'no_contact' : 'streaming';
}

/** What a link holds: an attempt in progress (it lasts until the link ends), and a connection. */
export interface LinkHoldings {
  attempt: boolean;
  connection: boolean;
}

const NOTHING: LinkHoldings = { attempt: false, connection: false };
const ATTEMPT: LinkHoldings = { attempt: true, connection: false };
const CONNECTION: LinkHoldings = { attempt: true, connection: true };

/** What must be held when a state is entered. */
const REQUIRES: Record<DeviceState, LinkHoldings> = {
  discovered: NOTHING,
  connecting: ATTEMPT,
  connected: CONNECTION,
  subscribing: CONNECTION,
  streaming: CONNECTION,
  no_pulse: CONNECTION,
  no_contact: CONNECTION,
  silent: CONNECTION,
  unreadable: CONNECTION,
  taken: NOTHING,
  refused: CONNECTION,
  no_heart_rate_service: CONNECTION,
  lost: NOTHING,
};

const held = ({ attempt, connection }: LinkHoldings): string =>
  `${attempt ? 'an' : 'no'} attempt and ${connection ? 'a' : 'no'} connection`;

export interface Shown {
  state: DeviceState;
  reason: StrapReason | null;
}

export class LinkState {
  readonly #address: string;
  readonly #changed: (state: DeviceState, before: DeviceState) => void;
  readonly #shownChanged: () => void;
  #current: DeviceState = 'discovered';
  #reason: StrapReason | null = null;
  /** The outlasting state of the attempt before this one. */
  #kept: Shown | undefined;

  /** `shownChanged` is called after a change of what is shown, state or reason. */
  constructor(address: string, changed: (state: DeviceState, before: DeviceState) => void, shownChanged: () => void = () => {}) {
    this.#address = address;
    this.#changed = changed;
    this.#shownChanged = shownChanged;
  }

  get current(): DeviceState {
    return this.#current;
  }

  /** What people see. */
  get shown(): Shown {
    return this.#kept ?? { state: this.#current, reason: this.#reason };
  }

  /** A connect may start from here. */
  get idle(): boolean {
    return IDLE.has(this.#current);
  }

  /** The strap delivers notifications. */
  get receiving(): boolean {
    return this.#current === 'streaming' || this.#current === 'no_pulse' || this.#current === 'no_contact';
  }

  /**
   * The only setter. `reason` says why, if the state alone does not. `nothingLearned`: an attempt ended before it could show anything
   * about the strap. Throws for an illegal transition, and if the link does not hold what the state requires.
   */
  enter(
    state: DeviceState,
    holdings: LinkHoldings,
    { reason = null, nothingLearned = false }: { reason?: StrapReason | null; nothingLearned?: boolean } = {},
  ): void {
    const before = this.#current;
    if (before === state) return;
    if (!TRANSITIONS[before].includes(state))
      throw new Error(`link of ${this.#address}: illegal transition ${before} -> ${state}`);
    const { attempt, connection } = REQUIRES[state];
    if (attempt !== holdings.attempt || connection !== holdings.connection)
      throw new Error(`link of ${this.#address}: entering ${state} with ${held(holdings)}`);
    const shown = this.shown;
    if (OUTLASTING.has(before) && state === 'connecting') this.#kept = shown;
    else if (!TRYING.has(state) && !nothingLearned) this.#kept = undefined;
    this.#current = state;
    this.#reason = reason;
    this.#changed(state, before);
    this.#reportIfChanged(shown);
  }

  /** The strap has taken the request that it refused before: what is shown is the state again. */
  accepted(): void {
    const shown = this.shown;
    this.#kept = undefined;
    this.#reportIfChanged(shown);
  }

  #reportIfChanged({ state, reason }: Shown): void {
    const { shown } = this;
    if (shown.state !== state || shown.reason?.code !== reason?.code || shown.reason?.detail !== reason?.detail)
      this.#shownChanged();
  }
}
