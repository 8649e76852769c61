/** What a run with memory and disk (held-run.ts) needs, and what it reports. */
import type { DropCause, NumberedReading } from '../contract/delivery.ts';
import type { DiskOperation } from './disk-retry.ts';
import type { SeqSpan } from './dropped-seqs.ts';
import type { OutboxRun } from './outbox-run.ts';
import type { RunFiles } from './spill-files.ts';

export interface DroppedReadings extends SeqSpan {
  cause: DropCause;
  count: number;
  /** The end of the last write of a process that was killed or lost its power: it was never confirmed to be on disk. */
  isCutShort: boolean;
  /** Those that can still be read. */
  readings: readonly NumberedReading[];
}

export interface HeldRunOptions {
  protocol: OutboxRun;
  files: RunFiles | undefined;
  /** Whose sequencer gave out the numbers. */
  gateway: string;
  /** Readings in memory; half of them the protocol's, half waiting to be written. */
  memoryMax: number;
  onDropped: (dropped: DroppedReadings) => void;
  /** On a disk without space: removes the oldest file of an older run. False if there is none, or the disk does not remove it. */
  evictOlder?: () => Promise<boolean>;
  onDiskError: (operation: DiskOperation, error: unknown) => void;
  /** For tests. */
  diskRetryMs?: number | undefined;
}
