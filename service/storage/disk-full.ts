/** Whether a failed file operation means that the disk has no space left. */
import { statfsSync } from 'node:fs';
import path from 'node:path';
import { systemCodeOf } from '../errors/errors.ts';

/** With less free space than this a failed write counts as a full disk, whatever code SQLite gives it. */
const FULL_BYTES = 256 * 1024;

/** True if the disk of `file` has no blocks or no inodes left, and `error` may be due to that. */
export function isDiskFull(error: unknown, file: string): boolean {
  const code = systemCodeOf(error) ?? '';
  if (/^(SQLITE_FULL|ENOSPC|EDQUOT)/.test(code)) return true;
  if (!/^SQLITE_(IOERR|CANTOPEN)/.test(code)) return false;
  try {
    const { bavail, bsize, files, ffree } = statfsSync(path.dirname(file));
    return bavail * bsize < FULL_BYTES || (files > 0 && ffree === 0);
  } catch {
    // A disk that does not report its space fails in another way.
    return false;
  }
}
