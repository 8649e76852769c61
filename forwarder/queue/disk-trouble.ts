/** What a failed read or write of the queue's file means. */
import { messageOf, systemCodeOf } from '../../service/errors/errors.ts';
import { isDiskFull } from '../../service/storage/disk-full.ts';
import { holdersText } from './file-holders.ts';
import type { QueueReason } from './queue-mode.ts';

/** SQLite calls a read that fails with EIO by the second name. */
const UNREADABLE = /^(SQLITE_IOERR_READ|SQLITE_IOERR_CORRUPTFS|EIO)$/;

/** The file itself may be damaged: it is checked again, and replaced only if that finds damage. */
export const isDamage = (error: unknown): boolean =>
  /^SQLITE_(CORRUPT|NOTADB|IOERR_SHORT_READ|IOERR_READ$)/.test(systemCodeOf(error) ?? '');

/** The disk does not return a page of the file. */
export const isUnreadable = (error: unknown): boolean => UNREADABLE.test(systemCodeOf(error) ?? '');

/**
 * Failures of the disk, and locks of other processes, which say nothing about the file: it is not replaced because of them.
 * `isUnreadableDamaged`: pages that the disk does not return count as damaged, because they were not for too long.
 */
export function isOfTheDisk(error: unknown, isUnreadableDamaged: boolean): boolean {
  const code = systemCodeOf(error) ?? '';
  if (code === 'SQLITE_IOERR_SHORT_READ') return false;
  if (UNREADABLE.test(code)) return !isUnreadableDamaged;
  return code.startsWith('E') || /^SQLITE_(FULL|IOERR|CANTOPEN|READONLY|BUSY|LOCKED|PROTOCOL|PERM)/.test(code);
}

/** Called by readers of a damaged file with each error that they would pass over; throws what a retry may cure. */
export type PassesOver = (error: unknown) => void;

/** Another process holds a lock. */
const isBusy = (code: string): boolean => /^SQLITE_(BUSY|LOCKED)/.test(code);

/** The reason for health: `disk_full` if the disk of `file` has no space left, `queue_busy` for a lock, else `disk_error`. */
export function diskTroubleOf(error: unknown, file: string): QueueReason {
  const code = systemCodeOf(error) ?? '';
  if (isBusy(code)) return { code: 'queue_busy', detail: `the file is locked by ${holdersText(file)}` };
  return { code: isDiskFull(error, file) ? 'disk_full' : 'disk_error', detail: `${code} ${messageOf(error)}`.trim() };
}
