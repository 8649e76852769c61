/** Whether a failed file operation means that the disk has no space left. */
import { statfsSync, type StatsFs } from 'node:fs';
import { statfs } from 'node:fs/promises';
import path from 'node:path';
import { systemCodeOf } from '../errors/errors.ts';

/** With less free space than this a failed write counts as a full disk, whatever code SQLite gives it. */
const FULL_BYTES = 256 * 1024;

/** Without blocks for so many bytes, or without inodes on a file system that has a fixed number of them. */
const lacks = (bytes: number, { bavail, bsize, files, ffree }: StatsFs): boolean =>
  bavail * bsize < bytes || (files > 0 && ffree === 0);

/** True if the disk of `file` has no blocks or no inodes left, and `error` may be due to that. */
export function isDiskFull(error: unknown, file: string): boolean {
  const code = systemCodeOf(error) ?? '';
  if (/^(SQLITE_FULL|ENOSPC|EDQUOT)/.test(code)) return true;
  if (!/^SQLITE_(IOERR|CANTOPEN)/.test(code)) return false;
  try {
    return lacks(FULL_BYTES, statfsSync(path.dirname(file)));
  } catch {
    // A disk that does not report its space fails in another way.
    return false;
  }
}

/**
 * Whether the disk of a folder has room for so many bytes, as the file system reports it. A disk that refuses a write with ENOSPC although
 * it has room fails for another reason, and removing files does not help. True if the file system does not answer.
 */
export async function hasRoomFor(bytes: number, folder: string): Promise<boolean> {
  try {
    return !lacks(FULL_BYTES + bytes, await statfs(folder));
  } catch {
    return true;
  }
}
