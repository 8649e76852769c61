/** What main thread and queue thread say to each other. Rows travel as columns: few large messages, no object graphs. */
import type { Ledger } from '../../contract/service-status.ts';

/** Where a reading came from: a real strap, or one that must not leave for a target that is not local. */
export const ROW_SOURCES = ['real', 'simulated', 'replay'] as const;
export type RowSource = (typeof ROW_SOURCES)[number];

/** Rows to be queued, as columns of the same length. */
export interface RowColumns {
  data: string[];
  devices: string[];
  /** Index into ROW_SOURCES. */
  sources: number[];
}

export interface DeadLetterInput {
  reason: string;
  detail: string;
  device: string;
  run: string | null;
  seq: number | null;
  bytes: number;
  /** The first 4 KiB; all of it where `whole`. */
  payload: string;
  whole: boolean;
}

/** The mark of a run: everything up to `stored` is stored or accounted for. */
export interface RunWatermark {
  run: string;
  stored: number;
  /** Readings of this run that were never accepted, by cause. */
  missed: Record<string, number>;
}

/** One share of a transaction: rows, dead letters, and the watermarks that they move. */
export interface Append {
  rows: RowColumns;
  dead: DeadLetterInput[];
  watermarks: RunWatermark[];
}

/**
 * Joins an append to the one before it, in order; false where they must stay apart: a refusal counts what has no number (no watermarks) by
 * itself. Of a run's watermarks the later one stands: watermarks and what they miss only grow.
 */
export function joinAppends(into: Append, append: Append): boolean {
  if (into.watermarks.length === 0 || append.watermarks.length === 0) return false;
  into.rows.data.push(...append.rows.data);
  into.rows.devices.push(...append.rows.devices);
  into.rows.sources.push(...append.rows.sources);
  into.dead.push(...append.dead);
  for (const mark of append.watermarks) {
    const index = into.watermarks.findIndex(({ run }) => run === mark.run);
    if (index < 0) into.watermarks.push(mark);
    else into.watermarks[index] = mark;
  }
  return true;
}

export interface DeadLetter extends DeadLetterInput {
  id: number;
  at: string;
}

export interface TakenColumns {
  ids: Float64Array;
  acceptedAtMs: Float64Array;
  sources: number[];
  devices: string[];
  data: string[];
}

export interface Causes {
  evicted: Record<string, number>;
  missed: Record<string, number>;
  dead: Record<string, number>;
}

/** A stretch of a device's readings that was given up. */
export interface EvictedSpan {
  device: string;
  /** Timestamps of its first and last reading. */
  from: string;
  to: string;
  count: number;
}

export interface QueueState {
  ledger: Ledger;
  causes: Causes;
  bytes: number;
  oldestAcceptedAtMs: number | null;
  deadLetters: number;
  /** Whether rows are taken: false at a full disk, or at the limit with QUEUE_WHEN_FULL=refuse. */
  accepting: boolean;
  /** Coded reason while not accepting, or while deletes cannot be committed. */
  trouble: string;
  /** What was found at start, until it is acknowledged: file and counts. */
  damage: string;
  commits: number;
}

export interface QueueWorkerData {
  file: string;
  commitIntervalMs: number;
  maxBytes: number;
  minFreeDiskBytes: number;
  whenFull: 'evict-oldest' | 'refuse';
}

export type QueueRequest =
  /** `epoch`: the last one that a `refused` told; what was sent before a refusal was known must not be taken after it. */
  | { kind: 'append'; appends: Append[]; epoch: number }
  | { kind: 'take'; id: number; maxRows: number; maxBytes: number }
  | { kind: 'acknowledge'; ids: Float64Array }
  | { kind: 'evict'; ids: Float64Array; cause: string }
  | { kind: 'bury'; rowId: number; reason: string; detail: string }
  | { kind: 'deadLetters'; id: number; limit: number; before: number | null }
  | { kind: 'retryDead'; id: number; ids: number[] | null }
  | { kind: 'discardDead'; id: number; ids: number[] | null }
  | { kind: 'acknowledgeDamage'; id: number }
  | { kind: 'backup'; id: number; file: string }
  | { kind: 'stop' };

export type QueueReply =
  /** The file is not open yet: it is large and is looked at first, or the disk is full. `opened` follows. */
  | { kind: 'waiting'; state: QueueState }
  | { kind: 'opened'; watermarks: RunWatermark[]; state: QueueState }
  | { kind: 'failed'; code: string; message: string }
  | { kind: 'committed'; watermarks: RunWatermark[]; state: QueueState; rows: number; commitMs: number; evicted: EvictedSpan[] }
  | { kind: 'refused'; state: QueueState; watermarks: RunWatermark[]; lostUnnumbered: number; epoch: number }
  | { kind: 'state'; state: QueueState }
  /** As `state`; nothing new is there to be taken. */
  | { kind: 'settled'; state: QueueState }
  | { kind: 'taken'; id: number; rows: TakenColumns }
  | { kind: 'answer'; id: number; value: unknown }
  | { kind: 'error'; id: number; message: string }
  | { kind: 'stopped' };
