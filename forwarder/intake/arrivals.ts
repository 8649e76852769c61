/**
 * Every reading that arrives here has exactly one outcome, counted by the gateway whose sequencer sent it: accepted (committed), a
 * duplicate, put back (its sequencer sends it again), a copy (of a reading that is delivered otherwise), or refused with a code: a dead
 * letter, nothing to store (`no_pulse`, `empty`), or lost because the queue did not take it and nobody else has it (`not_accepting`).
 */
import type { ArrivalCounts } from '../../contract/forwarder-status.ts';
import type { Metric } from '../../contract/metrics.ts';
import { Counter } from '../../service/metrics/metrics.ts';

export type Outcome = 'accepted' | 'duplicate' | 'put_back' | 'copy';

/** Names that are counted by themselves; further ones count together, so that labels stay bounded. */
const GATEWAYS_MAX = 100;
const CODES_MAX = 50;
const OTHER = 'other';

const nothing = (): ArrivalCounts => ({ accepted: 0, duplicate: 0, put_back: 0, copy: 0, refused: {} });

export class Arrivals {
  readonly #byGateway = new Map<string, ArrivalCounts>();

  #of(gateway: string): ArrivalCounts {
    const known = this.#byGateway.get(gateway);
    if (known !== undefined) return known;
    if (this.#byGateway.size >= GATEWAYS_MAX && gateway !== OTHER) return this.#of(OTHER);
    const counts = nothing();
    this.#byGateway.set(gateway, counts);
    return counts;
  }

  count(gateway: string, outcome: Outcome, readings: number): void {
    if (readings > 0) this.#of(gateway)[outcome] += readings;
  }

  refused(gateway: string, code: string, readings = 1): void {
    const { refused } = this.#of(gateway);
    const key = Object.hasOwn(refused, code) || Object.keys(refused).length < CODES_MAX ? code : OTHER;
    refused[key] = (Object.hasOwn(refused, key) ? (refused[key] ?? 0) : 0) + readings;
  }

  /** Readings with this outcome, over all gateways. */
  total(outcome: Outcome): number {
    return [...this.#byGateway.values()].reduce((sum, counts) => sum + counts[outcome], 0);
  }

  /** The counts by gateway. */
  read(): Record<string, ArrivalCounts> {
    return Object.fromEntries([...this.#byGateway].map(([gateway, counts]) => [gateway, structuredClone(counts)]));
  }

  metric(): Metric {
    const counter = new Counter('hr_gateway_arrivals_total', 'Readings that arrived at the forwarder, by gateway and outcome');
    for (const [gateway, { refused, ...counts }] of this.#byGateway) {
      for (const [outcome, value] of Object.entries(counts)) counter.setTo(value, { gateway, outcome });
      for (const [code, value] of Object.entries(refused)) counter.setTo(value, { gateway, outcome: 'refused', code });
    }
    return counter.read();
  }
}
