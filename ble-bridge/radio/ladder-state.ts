/**
 * The states of the recovery ladder, and the only place that changes them.
 *
 * - working: there are signs of life, or there is no adapter to recover.
 * - troubled: no sign of life; nothing has been done about it yet.
 * - scan_restarted: still no sign of life, and the scan was restarted.
 * - rebuilding: noble is being restarted. Leads to `working`: the radio gets its time again before the next rung.
 * - gave_up: the process has to end. Final.
 */
export type LadderStateName = 'working' | 'troubled' | 'scan_restarted' | 'rebuilding' | 'gave_up';

const TRANSITIONS: Readonly<Record<LadderStateName, readonly LadderStateName[]>> = {
  working: ['troubled', 'rebuilding'],
  troubled: ['working', 'scan_restarted', 'rebuilding'],
  scan_restarted: ['working', 'rebuilding', 'gave_up'],
  rebuilding: ['working'],
  gave_up: [],
};

export class LadderState {
  #current: LadderStateName = 'working';
  #since = performance.now();

  get current(): LadderStateName {
    return this.#current;
  }

  /** Since when there has been no sign of life (performance.now()): `scan_restarted` keeps the time of `troubled`. */
  get since(): number {
    return this.#since;
  }

  /** The only setter. Throws for a transition that is not listed above. */
  enter(state: LadderStateName): void {
    if (!TRANSITIONS[this.#current].includes(state))
      throw new Error(`recovery ladder: illegal transition ${this.#current} -> ${state}`);
    this.#current = state;
    if (state !== 'scan_restarted') this.#since = performance.now();
  }
}
