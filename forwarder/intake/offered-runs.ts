/**
 * Runs with state beside their watermark, by (gateway, run), the least recently used first. Beyond a bound, idle ones are forgotten and
 * have to be offered again: of a gateway that has too many, its own; else of the gateway that has the most. So no sequencer can make the
 * forwarder forget the runs of another one.
 */
import type { RunIntake } from './run-intake.ts';

const RUNS_MAX = 1000;
/** Of them, of one gateway that is not this box. */
const RUNS_OF_GATEWAY_MAX = 200;
/** With fewer runs their order is not kept: nothing is forgotten soon. */
const ORDERED_FROM = 100;

export class OfferedRuns {
  readonly #own: string;
  readonly #runs = new Map<string, RunIntake>();
  readonly #countOf = new Map<string, number>();

  /** `own`: the name of this box's gateway. */
  constructor(own: string) {
    this.#own = own;
  }

  get all(): Iterable<[string, RunIntake]> {
    return this.#runs;
  }

  get(key: string): RunIntake | undefined {
    const run = this.#runs.get(key);
    if (run === undefined || this.#runs.size < ORDERED_FROM) return run;
    this.#runs.delete(key);
    this.#runs.set(key, run);
    return run;
  }

  add(key: string, run: RunIntake): RunIntake {
    const { gateway } = run;
    const count = this.#countOf.get(gateway) ?? 0;
    if (gateway !== this.#own && count >= RUNS_OF_GATEWAY_MAX) this.#forgetIdle(gateway);
    else if (this.#runs.size >= RUNS_MAX) this.#forgetIdle(this.#largest());
    this.#runs.set(key, run);
    this.#countOf.set(gateway, (this.#countOf.get(gateway) ?? 0) + 1);
    return run;
  }

  #largest(): string {
    return [...this.#countOf].reduce((most, entry) => (entry[1] > most[1] ? entry : most), ['', 0])[0];
  }

  /** Forgets the least recently used run of a gateway that has nothing under way: its watermark stays. */
  #forgetIdle(gateway: string): void {
    for (const [key, run] of this.#runs) {
      if (run.gateway !== gateway || !run.isIdle) continue;
      this.#runs.delete(key);
      const left = (this.#countOf.get(gateway) ?? 1) - 1;
      if (left > 0) this.#countOf.set(gateway, left);
      else this.#countOf.delete(gateway);
      return;
    }
  }
}
