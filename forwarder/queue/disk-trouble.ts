/** What a failed read or write of the queue's file means. */
import { statfsSync } from 'node:fs';
import path from 'node:path';
import { messageOf, systemCodeOf } from '../../service/errors/errors.ts';
import type { QueueState, QueueWorkerData } from './queue-messages.ts';

/** With less free, a failed write failed for lack of space, whatever SQLite calls it. */
const FULL_BYTES = 256 * 1024;

/** The file itself is found damaged. */
export const isDamage = (error: unknown): boolean =>
  /^SQLITE_(CORRUPT|NOTADB|IOERR_SHORT_READ|IOERR_READ$)/.test(systemCodeOf(error) ?? '');

/** Coded words for health: `disk_full: …` where there is no space, else `disk_error: …`. */
export function diskTroubleOf(error: unknown, { file }: Pick<QueueWorkerData, 'file'>): string {
  const code = systemCodeOf(error) ?? '';
  let full = /^(SQLITE_FULL|ENOSPC|EDQUOT)/.test(code);
  if (!full && /^SQLITE_(IOERR|CANTOPEN)/.test(code)) {
    const { bavail, bsize } = statfsSync(path.dirname(file));
    full = bavail * bsize < FULL_BYTES;
  }
  return `${full ? 'disk_full' : 'disk_error'}: ${code === '' ? messageOf(error) : `${code} ${messageOf(error)}`}`;
}

/** Why a queue does not accept yet that is looked at before it is opened. */
export const QUEUE_CHECKING = 'queue_checking';

/** What can be said of a queue that could not be opened yet. */
export const stateWhileClosed = (trouble: string): QueueState => ({
  ledger: { accepted: 0, shipped: 0, queued: 0, dead: 0, evicted: 0, missed: 0 },
  causes: { evicted: {}, missed: {}, dead: {} },
  bytes: 0,
  oldestAcceptedAtMs: null,
  deadLetters: 0,
  accepting: false,
  trouble,
  damage: '',
  commits: 0,
});
