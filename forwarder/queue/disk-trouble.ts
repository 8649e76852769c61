/** What a failed read or write of the queue's file means. */
import { statfsSync } from 'node:fs';
import path from 'node:path';
import { messageOf, systemCodeOf } from '../../service/errors/errors.ts';
import type { QueueReason } from './queue-mode.ts';

/** With less free space than this a failed write counts as a full disk, whatever code SQLite gives it. */
const FULL_BYTES = 256 * 1024;

/** The file itself is damaged. */
export const isDamage = (error: unknown): boolean =>
  /^SQLITE_(CORRUPT|NOTADB|IOERR_SHORT_READ|IOERR_READ$)/.test(systemCodeOf(error) ?? '');

/** The reason for health: `disk_full` if the disk of `file` has no space left, else `disk_error`. */
export function diskTroubleOf(error: unknown, file: string): QueueReason {
  const code = systemCodeOf(error) ?? '';
  let full = /^(SQLITE_FULL|ENOSPC|EDQUOT)/.test(code);
  if (!full && /^SQLITE_(IOERR|CANTOPEN)/.test(code)) {
    const { bavail, bsize } = statfsSync(path.dirname(file));
    full = bavail * bsize < FULL_BYTES;
  }
  return { code: full ? 'disk_full' : 'disk_error', detail: `${code} ${messageOf(error)}`.trim() };
}
