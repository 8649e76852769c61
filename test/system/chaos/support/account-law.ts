/** Every reading that was seen is in the stream, or the account of its run says why not: by identity. */
import type { LiveReading } from '../../crash/support/witness.ts';
import { isLost, type Outcome, type RunAccounts } from './run-accounts.ts';

export interface StreamContents {
  readonly byIdentity: ReadonlySet<string>;
  holds(reading: LiveReading): boolean;
}

export interface Seen {
  /** `<run> <seq>` of everything up to the watermarks. */
  stored: readonly string[];
  /** `<run> <seq>` of what was in the files of an outbox when its process was killed. */
  spilled: readonly string[];
  live: readonly LiveReading[];
  /** Whether a kill explains that a live reading is missing. */
  explained: (reading: LiveReading) => boolean;
}

/** Readings of other clients have no number when they are live. */
const isNumbered = ({ run }: LiveReading): boolean => (run as string | undefined) !== undefined;

export class AccountLaw {
  readonly #seen: Seen;
  readonly runs: ReadonlySet<string>;
  readonly #bridgeRuns: ReadonlySet<string>;

  constructor(seen: Seen) {
    this.#seen = seen;
    this.#bridgeRuns = new Set(seen.live.filter(isNumbered).map(({ run }) => run));
    this.runs = new Set([...this.#bridgeRuns, ...[...seen.stored, ...seen.spilled].map((key) => key.split(' ')[0] ?? '')]);
  }

  /** Throws if a reading is missing without a reason. Returns how many live ones a kill explains. */
  check(accounts: RunAccounts, contents: StreamContents): number {
    const { stored, spilled, live, explained } = this.#seen;
    for (const { run, counts, watermark } of accounts.all) {
      const sum = Object.values(counts).reduce((total, count) => total + count, 0);
      if (sum !== watermark || counts.unknown > 0)
        throw new Error(`account of ${run}: ${JSON.stringify(counts)} to ${watermark}`);
    }
    const outcomeOf = (key: string): Outcome => {
      const [run = '', seq] = key.split(' ');
      return accounts.of(run, Number(seq));
    };
    const notCounted = (keys: readonly string[]): string[] =>
      keys.filter((key) => !contents.byIdentity.has(key) && !isLost(outcomeOf(key))).map((key) => `${key} ${outcomeOf(key)}`);
    for (const [what, keys] of [
      ['stored', stored],
      ['spilled', spilled],
    ] as const) {
      const missing = notCounted(keys);
      if (missing.length > 0) throw new Error(`${missing.length} that were ${what}: ${missing.slice(0, 5).join(', ')}`);
    }
    const missing = live.filter((reading) => !contents.holds(reading));
    const unaccounted = missing.filter((reading) => !isNumbered(reading) || !isLost(accounts.of(reading.run, reading.seq)));
    const unexplained = unaccounted.filter((reading) => !explained(reading));
    const numbered = unexplained.filter(isNumbered);
    if (numbered.length > 0)
      throw new Error(
        `${numbered.length} live readings: ` +
          numbered
            .slice(0, 5)
            .map((reading) => `${JSON.stringify(reading)} ${accounts.of(reading.run, reading.seq)}`)
            .join(', '),
      );
    // What another client published is live before it gets a number: here only the number of losses can be compared.
    const ofClients = unexplained.length - numbered.length;
    const lost = accounts.lostOf([...this.runs].filter((run) => !this.#bridgeRuns.has(run)));
    if (ofClients > lost)
      throw new Error(
        `${ofClients} live readings of clients, ${lost} are accounted for: ${JSON.stringify(unexplained.slice(0, 3))}`,
      );
    return unaccounted.length - unexplained.length;
  }
}
