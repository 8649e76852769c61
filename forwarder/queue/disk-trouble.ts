/** What a failed read or write of the queue's file means. */
import { messageOf, systemCodeOf } from '../../service/errors/errors.ts';
import { isDiskFull } from '../../service/storage/disk-full.ts';
import type { QueueReason } from './queue-mode.ts';

/** The file itself is damaged. */
export const isDamage = (error: unknown): boolean =>
  /^SQLITE_(CORRUPT|NOTADB|IOERR_SHORT_READ|IOERR_READ$)/.test(systemCodeOf(error) ?? '');

/** The reason for health: `disk_full` if the disk of `file` has no space left, else `disk_error`. */
export function diskTroubleOf(error: unknown, file: string): QueueReason {
  const code = systemCodeOf(error) ?? '';
  return { code: isDiskFull(error, file) ? 'disk_full' : 'disk_error', detail: `${code} ${messageOf(error)}`.trim() };
}
