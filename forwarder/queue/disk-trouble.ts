/** What a failed read or write of the queue's file means. */
import { messageOf, systemCodeOf } from '../../service/errors/errors.ts';
import { isDiskFull } from '../../service/storage/disk-full.ts';
import { holdersText } from './file-holders.ts';
import type { QueueReason } from './queue-mode.ts';

/** The file itself may be damaged: it is checked again, and replaced only if that finds damage. */
export const isDamage = (error: unknown): boolean =>
  /^SQLITE_(CORRUPT|NOTADB|IOERR_SHORT_READ|IOERR_READ$)/.test(systemCodeOf(error) ?? '');

/** The disk does not return a page of the file. */
export const isUnreadable = (error: unknown): boolean => /^(SQLITE_IOERR_READ|EIO)$/.test(systemCodeOf(error) ?? '');

/** Another process holds a lock. */
const isBusy = (code: string): boolean => /^SQLITE_(BUSY|LOCKED)/.test(code);

/** The reason for health: `disk_full` if the disk of `file` has no space left, `queue_busy` for a lock, else `disk_error`. */
export function diskTroubleOf(error: unknown, file: string): QueueReason {
  const code = systemCodeOf(error) ?? '';
  if (isBusy(code)) return { code: 'queue_busy', detail: `the file is locked by ${holdersText(file)}` };
  return { code: isDiskFull(error, file) ? 'disk_full' : 'disk_error', detail: `${code} ${messageOf(error)}`.trim() };
}
