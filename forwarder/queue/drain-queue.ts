/** The part of the queue that the drain needs. */
import type { RowSource } from './row-sources.ts';

export interface QueuedReading {
  /** Grows in the order of acceptance. */
  id: number;
  device: string;
  source: RowSource;
  acceptedAtMs: number;
  /** The reading's JSON. */
  data: string;
  /** Queued before the last `goLive`: later rows go first. */
  isBacklog: boolean;
}

export interface TakeLimits {
  maxRows: number;
  maxBytes: number;
  /**
   * If there are no rows, the answer may come with the commit of the next ones, which spares a reading the way there and back. One such
   * request at a time.
   */
  waits?: boolean;
  /** How many of the rows may be backlog; left out: all of them. */
  backlogRows?: number;
  /** Only rows of this device, which was put back, and stays so. */
  ofHeld?: string;
}

/** The drain has about this many rows in memory at most. */
export const READ_AHEAD_ROWS = 8000;

export interface DrainQueue {
  /**
   * Takes the next rows: those that are not backlog first, then the oldest first, except that nobody's rows fill all of the read-ahead
   * while others wait (read-ahead.ts). A row is taken once per process, unless it is put back. Rejects when the queue is closed.
   */
  take(limits: TakeLimits): Promise<QueuedReading[]>;
  /** What was accepted before this time (ms since the epoch) and is not taken is the backlog: `take` returns later rows before it. */
  goLive(sinceMs: number): void;
  /** These rows were shipped: the next commit deletes them. */
  acknowledge(ids: readonly number[]): void;
  /** These rows are not to be shipped at all: the next commit deletes them and counts them as evicted by this cause. */
  evict(ids: readonly number[], cause: string): void;
  /** These rows of a device wait in the queue again, and `take` returns no others of it until `release`. */
  putBack(device: string, ids: readonly number[]): void;
  release(device: string): void;
  /** Moves a row to the dead letters. */
  bury(id: number, reason: string, detail: string): void;
  /** There may be rows to take. */
  on(event: 'readable', listener: () => void): unknown;
  readonly depth: number;
}
