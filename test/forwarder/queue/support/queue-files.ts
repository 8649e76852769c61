/** Queue files written by the product's own code in this process, without thread and timers. */
import { copyFileSync, existsSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { closeKeepingLog, openQueue } from '../../../../forwarder/queue/open-queue.ts';
import { QueueFile, type QueueFileOptions } from '../../../../forwarder/queue/queue-file.ts';
import type { Append, DeadLetterInput, RunWatermark, TakenColumns } from '../../../../forwarder/queue/queue-messages.ts';
import { Watermarks } from '../../../../forwarder/queue/watermarks.ts';
import type { LedgerState } from '../../../../forwarder/queue/ledger.ts';

export const RUN = '0123456789abcdef';

export const readingOf = (seq: number, more: object = {}): string =>
  JSON.stringify({
    timestamp: '2026-01-01T00:00:00.000Z',
    heart_rate: 60 + (seq % 100),
    device: `strap-${seq % 5}`,
    gateway: 'test-box',
    run: RUN,
    seq,
    ...more,
  });

/** Consecutive numbered readings as the intake appends them, with the watermark that they move. */
export function appendOf(from: number, count: number, dead: DeadLetterInput[] = []): Append {
  const seqs = Array.from({ length: count }, (_, index) => from + index);
  return {
    rows: { data: seqs.map((seq) => readingOf(seq)), devices: seqs.map((seq) => `strap-${seq % 5}`), sources: seqs.map(() => 0) },
    dead,
    watermarks: count === 0 ? [] : [{ gateway: 'test-box', run: RUN, stored: from + count - 1, missed: {} }],
  };
}

export const letterOf = (payload: string, reason = 'invalid'): DeadLetterInput => ({
  reason,
  detail: 'not JSON',
  device: 'strap-1',
  run: null,
  seq: null,
  bytes: payload.length,
  payload,
  whole: true,
});

export const fileOf = (folder: string): string => path.join(folder, 'queue.db');

export function openFile(folder: string, options: Partial<QueueFileOptions> = {}): QueueFile {
  const queue = new QueueFile({
    file: fileOf(folder),
    gateway: 'test-box',
    commitIntervalMs: 0,
    maxBytes: 1024 * 1024 * 1024,
    minFreeDiskBytes: 0,
    auditDays: 90,
    whenFull: 'evict-oldest',
    ...options,
  });
  queue.open({ mayOpen: () => true });
  return queue;
}

/** Copies the files as a kill at this instant would leave them. */
export function copyOf(folder: string, to: string): string {
  mkdirSync(to, { recursive: true });
  for (const ending of ['', '-wal'])
    if (existsSync(fileOf(folder) + ending)) copyFileSync(fileOf(folder) + ending, fileOf(to) + ending);
  return to;
}

export interface Contents {
  state: LedgerState;
  watermarks: RunWatermark[];
  /** In the order of acceptance. */
  rows: { id: number; data: string }[];
  dead: { payload: string; reason: string }[];
  synchronous: number;
}

/** Opens a file as the product does at its start, and reads everything in it. */
export function contentsOf(folder: string): Contents {
  const opened = openQueue(fileOf(folder), { gateway: 'test-box', mayOpen: () => true });
  if (opened === undefined) throw new Error('the queue was not opened');
  const { database, state } = opened;
  try {
    return {
      state,
      watermarks: new Watermarks(database).all,
      rows: database.prepare('SELECT id, data FROM rows ORDER BY id').all() as Contents['rows'],
      dead: database.prepare('SELECT payload, reason FROM dead ORDER BY id').all() as Contents['dead'],
      synchronous: database.pragma('synchronous', { simple: true }) as number,
    };
  } finally {
    closeKeepingLog(database);
  }
}

/** Takes the next rows of a file: all that there are, within the limits. */
export function takeFrom(queue: QueueFile, maxRows: number, maxBytes: number): TakenColumns {
  for (;;) {
    const taken = queue.take({ maxRows, maxBytes });
    if (taken !== undefined) return taken;
  }
}
