/** What the drain needs of the queue. */
import type { RowSource } from './queue-messages.ts';

export interface QueuedReading {
  /** Grows in the order of acceptance. */
  id: number;
  device: string;
  source: RowSource;
  acceptedAtMs: number;
  /** The reading's JSON. */
  data: string;
}

export interface DrainQueue {
  /** The next rows, oldest first; what was taken is not given again by this process. */
  take(limits: { maxRows: number; maxBytes: number }): Promise<QueuedReading[]>;
  /** Shipped: deleted with the next commit. */
  acknowledge(ids: readonly number[]): void;
  /** Not to be shipped at all: counted as evicted by this cause. */
  evict(ids: readonly number[], cause: string): void;
  /** To the dead letters. */
  bury(id: number, reason: string, detail: string): void;
  onReadable(listener: () => void): void;
  readonly depth: number;
}
