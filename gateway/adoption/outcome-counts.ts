/** Each message that another client publishes under `hr/` has exactly one outcome; this counts them since the start. */
import type { AdoptionRefusal } from '../../contract/dead-letter.ts';

export const OUTCOMES = ['adopted', 'duplicate', 'no_pulse', 'empty', 'claimed', 'share_full'] as const;
export type Outcome = (typeof OUTCOMES)[number];

export class OutcomeCounts {
  readonly #outcomes = new Map<Outcome, number>(OUTCOMES.map((outcome) => [outcome, 0]));
  readonly #refused = new Map<AdoptionRefusal, number>();

  add(outcome: Outcome): void {
    this.#outcomes.set(outcome, this.of(outcome) + 1);
  }

  addRefused(code: AdoptionRefusal): void {
    if (code === 'device_claimed') this.add('claimed');
    else this.#refused.set(code, (this.#refused.get(code) ?? 0) + 1);
  }

  of(outcome: Outcome): number {
    return this.#outcomes.get(outcome) ?? 0;
  }

  /** Refusals by code, without `device_claimed`, which is the outcome `claimed`. */
  get refused(): Record<string, number> {
    return Object.fromEntries(this.#refused);
  }

  get total(): number {
    return [...this.#outcomes.values(), ...this.#refused.values()].reduce((sum, count) => sum + count, 0);
  }
}
