/** What the queue says became of each seq of each run: `GET /queue/runs/:run`, all pages of it. */
import type { RunAccount, RunSpan } from '../../../../contract/run-account.ts';

/** `beyond`: above the watermark, or of a run that the queue has never been offered. */
export type Outcome = RunSpan['outcome'] | 'counted_only' | 'beyond';

const LOST: ReadonlySet<Outcome> = new Set(['missed', 'evicted', 'dead', 'counted_only']);

/** The account says why the reading is not in the stream. */
export const isLost = (outcome: Outcome): boolean => LOST.has(outcome);

export class RunAccounts {
  readonly #accounts = new Map<string, RunAccount>();

  static async read(adminUrl: string, runs: Iterable<string>): Promise<RunAccounts> {
    const read = new RunAccounts();
    for (const run of runs) {
      const account = await accountOf(adminUrl, run);
      if (account !== undefined) read.#accounts.set(run, account);
    }
    return read;
  }

  get all(): readonly RunAccount[] {
    return [...this.#accounts.values()];
  }

  of(run: string, seq: number): Outcome {
    const account = this.#accounts.get(run);
    if (account === undefined || seq > account.watermark) return 'beyond';
    if (seq <= (account.counted_only?.to ?? 0)) return 'counted_only';
    return account.spans.find(({ from, to }) => from <= seq && seq <= to)?.outcome ?? 'unknown';
  }

  /** Seqs of these runs that are accounted for and not in the stream. */
  lostOf(runs: Iterable<string>): number {
    return [...runs].reduce((sum, run) => {
      const counts = this.#accounts.get(run)?.counts;
      return sum + (counts === undefined ? 0 : counts.missed + counts.evicted + counts.dead);
    }, 0);
  }
}

async function accountOf(adminUrl: string, run: string): Promise<RunAccount | undefined> {
  let whole: RunAccount | undefined;
  for (let from: number | null = 1; from !== null;) {
    const answer = await fetch(`${adminUrl}/queue/runs/${run}?from=${from}`);
    if (answer.status === 404) return undefined;
    if (!answer.ok) throw new Error(`${run}: ${answer.status} ${await answer.text()}`);
    const page = (await answer.json()) as RunAccount;
    whole = whole === undefined ? page : { ...page, spans: [...whole.spans, ...page.spans] };
    from = page.next_from;
  }
  return whole;
}
