/**
 * Which forwarder a sequencer follows. It forgets readings on the word of one queue only: it follows the first queue that it hears from,
 * ignores others, and changes to another one only after it has waited 10 s for an answer from its own.
 */
const ANSWER_WITHIN_MS = 10_000;
/** How long a message of a foreign queue keeps the check failing. */
const FOREIGN_SHOWN_MS = 60_000;

export class FollowedQueue {
  #id: string | undefined;
  #lastMessageAtMs = 0;
  #foreignAtMs = Number.NEGATIVE_INFINITY;
  #foreignId: string | undefined;
  /** Messages of other queues that were ignored. */
  ignored = 0;
  /** Changes from one queue to another. */
  changes = 0;

  /** Identity of the queue that is followed; undefined before the first message. */
  get id(): string | undefined {
    return this.#id;
  }

  /**
   * A message of a queue has arrived. Returns whether to act on it. `waitingSinceMs`: since when readings wait for an answer; undefined
   * if none do.
   */
  accepts(queue: string, nowMs: number, waitingSinceMs: number | undefined): boolean {
    if (queue !== this.#id) {
      if (this.#id !== undefined && !this.#hasGivenUp(nowMs, waitingSinceMs)) {
        this.ignored += 1;
        this.#foreignAtMs = nowMs;
        this.#foreignId = queue;
        return false;
      }
      if (this.#id !== undefined) this.changes += 1;
      this.#id = queue;
      this.#foreignAtMs = Number.NEGATIVE_INFINITY;
    }
    this.#lastMessageAtMs = nowMs;
    return true;
  }

  #hasGivenUp(nowMs: number, waitingSinceMs: number | undefined): boolean {
    return waitingSinceMs !== undefined && nowMs - Math.max(this.#lastMessageAtMs, waitingSinceMs) > ANSWER_WITHIN_MS;
  }

  /** Another queue that answered lately although it is not followed, or undefined. */
  foreign(nowMs: number): string | undefined {
    return nowMs - this.#foreignAtMs < FOREIGN_SHOWN_MS ? this.#foreignId : undefined;
  }
}
