/**
 * Which user or address runs into limits at the moment, for health: the worst one is named within seconds, and the check passes again soon
 * after it stops. A single breach is not worth a person's attention.
 */
import { okCheck, warning, type CheckReport } from '../../service/health/check-report.ts';
import { breachText, type Limit } from '../breach-kinds.ts';

/** Breaches are counted in two windows of this length, the current and the previous one. */
const WINDOW_MS = 5000;
/** Breaches within the two windows from which on a party is named. */
const NAMED_FROM = 5;
/** Parties that are counted in one window. */
const PARTIES_MAX = 1000;

interface Offence {
  weight: number;
  /** The limit that was breached last. */
  limit: Limit;
}

export class Offenders {
  readonly #now: () => number;
  #current = new Map<string, Offence>();
  #previous = new Map<string, Offence>();
  #beganAtMs = Number.NEGATIVE_INFINITY;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  #turn(): void {
    const ageMs = this.#now() - this.#beganAtMs;
    if (ageMs < WINDOW_MS) return;
    this.#previous = ageMs < 2 * WINDOW_MS ? this.#current : new Map<string, Offence>();
    this.#current = new Map();
    this.#beganAtMs = this.#now();
  }

  /** Counts a breach. `weight`: 1 is a single one; a disconnection counts as many. */
  note(party: string, limit: Limit, weight: number): void {
    this.#turn();
    const known = this.#current.get(party);
    if (known !== undefined) {
      known.weight += weight;
      known.limit = limit;
    } else if (this.#current.size < PARTIES_MAX) this.#current.set(party, { weight, limit });
  }

  /** The party with the most breaches, if it has enough of them. */
  worst(): (Offence & { party: string }) | undefined {
    this.#turn();
    let worst: (Offence & { party: string }) | undefined;
    for (const party of new Set([...this.#current.keys(), ...this.#previous.keys()])) {
      const current = this.#current.get(party);
      const previous = this.#previous.get(party);
      const weight = (current?.weight ?? 0) + (previous?.weight ?? 0);
      const limit = current?.limit ?? previous?.limit;
      if (limit !== undefined && weight >= NAMED_FROM && weight > (worst?.weight ?? 0)) worst = { party, weight, limit };
    }
    return worst;
  }

  check(): CheckReport {
    const worst = this.worst();
    if (worst === undefined) return okCheck('client budgets');
    return warning(
      'client budgets',
      'client_over_budget',
      `${worst.party} exceeds limits of the broker, the last one was ${worst.limit}: it ${breachText(worst.limit)}`,
    );
  }
}
