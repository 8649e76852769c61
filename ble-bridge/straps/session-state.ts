/**
 * The states of a radio session, and the only place that changes them.
 *
 *   off → on ⇄ rebuilding → off → on …
 *          └→ lost → rebuilding
 *
 * - off: the radio is not powered on, and no link is left from an earlier time: before the start, and after a rebuild until the adapter
 *   answers.
 * - on: the radio is powered on; the scan runs.
 * - lost: the adapter went away while the radio was on. noble does not report the end of its links then, so its state is void: once the
 *   adapter is back, the radio is rebuilt before anything is scanned.
 * - rebuilding: the radio is being rebuilt; its reports are not acted on.
 * - stuck: the radio cannot be recovered, and the process has to end. Final.
 * - stopped: final.
 */
export type SessionStateName = 'off' | 'on' | 'lost' | 'rebuilding' | 'stuck' | 'stopped';

const TRANSITIONS: Readonly<Record<SessionStateName, readonly SessionStateName[]>> = {
  off: ['on', 'rebuilding', 'stuck', 'stopped'],
  on: ['lost', 'rebuilding', 'stuck', 'stopped'],
  lost: ['rebuilding', 'stuck', 'stopped'],
  rebuilding: ['off', 'on', 'stuck', 'stopped'],
  stuck: ['stopped'],
  stopped: [],
};

export class SessionState {
  #current: SessionStateName = 'off';

  get current(): SessionStateName {
    return this.#current;
  }

  /** The only setter. Throws for a transition that is not listed above. */
  enter(state: SessionStateName): void {
    if (!TRANSITIONS[this.#current].includes(state))
      throw new Error(`radio session: illegal transition ${this.#current} -> ${state}`);
    this.#current = state;
  }
}
