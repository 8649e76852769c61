/**
 * When the queue commits (group commit): an idle queue commits at once; a busy one once per commit interval, or at 500 pending rows,
 * whichever comes first. A few commits may follow each other at once: readings of straps that notify within milliseconds of each other
 * arrive in several packets, and only the first would be stored without waiting. On average there is still one commit per interval.
 * A commit for pending deletes only can wait: it writes as much to disk as a commit of readings, and a row that is not deleted because
 * of a kill is shipped again, which at-least-once allows. Only after an unclean start are deletes urgent, too.
 */
const PENDING_ROWS_MAX = 500;
const DELETES_WAIT_MS = 5000;
/** So many commits of an idle queue may come at once. */
const BURST_COMMITS = 3;

export class CommitTimer {
  readonly #intervalMs: number;
  readonly #commit: () => void;
  #timer: NodeJS.Timeout | undefined;
  #timerDueAt = 0;
  #soon: NodeJS.Immediate | undefined;
  /** When the commits so far would have ended, had each waited for its interval. */
  #paidUntilMs = Number.NEGATIVE_INFINITY;

  /** `intervalMs`: QUEUE_COMMIT_INTERVAL_MS. `commit` must call `clear`, then `committed`. */
  constructor(intervalMs: number, commit: () => void) {
    this.#intervalMs = intervalMs;
    this.#commit = commit;
  }

  /** Schedules the commit of what is pending: of appends, and urgent deletes, soon; of other deletes when their wait ends. */
  schedule(pending: { isUrgent: boolean; rows: number }): void {
    if (this.#soon !== undefined) return;
    const now = performance.now();
    const urgentAt = this.#paidUntilMs - (BURST_COMMITS - 1) * this.#intervalMs;
    if (pending.rows >= PENDING_ROWS_MAX || (pending.isUrgent && now >= urgentAt)) {
      // After everything else that has arrived in this turn of the event loop.
      this.#soon = setImmediate(() => {
        this.#soon = undefined;
        this.#commit();
      });
      return;
    }
    const dueAt = pending.isUrgent ? urgentAt : now + Math.max(DELETES_WAIT_MS, 2 * this.#intervalMs);
    if (this.#timer !== undefined && this.#timerDueAt <= dueAt) return;
    clearTimeout(this.#timer);
    this.#timerDueAt = dueAt;
    this.#timer = setTimeout(this.#commit, Math.max(1, dueAt - now));
  }

  /** A commit succeeded or failed: it takes its interval from the next ones. */
  committed(): void {
    const now = performance.now();
    const latestMs = now + BURST_COMMITS * this.#intervalMs;
    this.#paidUntilMs = Math.min(Math.max(now, this.#paidUntilMs) + this.#intervalMs, latestMs);
  }

  clear(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  stop(): void {
    this.clear();
    clearImmediate(this.#soon);
    this.#soon = undefined;
  }
}
