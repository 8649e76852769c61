/**
 * Up to which seq the accounts of a run are older than a time: what they claim as shipped must be there. Claims of newer accounts may still
 * be on their way, in Firehose's buffers.
 */
const KEPT_MAX = 500;

export class RecentAccounts {
  readonly #settleMs: number;
  #recent: { at: number; to: number }[] = [];
  #settledTo = 0;

  /** `settleMs`: 0 if nothing is on its way. */
  constructor(settleMs: number) {
    this.#settleMs = settleMs;
  }

  add(at: number, to: number): void {
    if (this.#settleMs === 0) return;
    this.#recent.push({ at, to });
    if (this.#recent.length > KEPT_MAX) this.#settle(Math.max(...this.#recent.map((account) => account.at)));
  }

  #settle(newestAtMs: number): void {
    const isRecent = ({ at }: { at: number }): boolean => at > newestAtMs - this.#settleMs;
    for (const account of this.#recent) if (!isRecent(account)) this.#settledTo = Math.max(this.#settledTo, account.to);
    this.#recent = this.#recent.filter(isRecent);
  }

  settledTo(newestAtMs: number): number {
    if (this.#settleMs === 0) return Number.POSITIVE_INFINITY;
    this.#settle(newestAtMs);
    return this.#settledTo;
  }
}
