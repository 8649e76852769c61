/**
 * Puts a backup in the place of the queue's file, for `hr-gateway restore`. The lock of the forwarder is held meanwhile. The backup is
 * copied and checked under another name first; the old file and its log are kept. Until the last step, which replaces one name, the old
 * file is in its place: a restore that is interrupted just before it leaves a file without its log, which the next start reports and
 * salvages.
 */
import {
  chownSync,
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  openSync,
  fsyncSync,
  closeSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import path from 'node:path';
import type { Config } from '../../service/config/config.ts';
import { HrError, messageOf } from '../../service/errors/errors.ts';
import { lockDataDir, syncFolder } from '../../service/storage/data-dir.ts';
import { checkFile } from './open-queue.ts';

export interface Restored {
  /** Of the restored queue. */
  queued: number;
  dead: number;
  /** Where the old file and its log are; null if there was none. */
  kept: string | null;
}

const QUEUE = 'queue.db';
/** What SQLite keeps beside a file. */
const BESIDE = ['-wal', '-shm', '-journal'];

/** The lock, or HrError `box_running`. */
function lock(config: Pick<Config, 'DATA_DIR'>): ReturnType<typeof lockDataDir> {
  try {
    return lockDataDir(config, 'forwarder');
  } catch (error) {
    if (!(error instanceof HrError) || error.code !== 'data_dir_in_use') throw error;
    throw new HrError('box_running', {
      operation: 'restore a backup',
      detail: `the forwarder uses ${config.DATA_DIR}`,
      cause: error,
    });
  }
}

/** Copies the backup to `copy` and checks it there. Throws HrError `backup_unusable`. */
function checkedCopy(backup: string, copy: string): Pick<Restored, 'queued' | 'dead'> {
  const unusable = (detail: string, cause?: unknown): HrError =>
    new HrError('backup_unusable', { operation: `restore ${backup}`, detail, cause });
  try {
    if (!statSync(backup).isFile()) throw unusable('it is no file');
    if (existsSync(`${backup}-wal`) && statSync(`${backup}-wal`).size > 0)
      throw unusable('a write-ahead log is beside it: it is no backup, but the file of a queue in use');
    copyFileSync(backup, copy);
    const { queued, dead } = checkFile(copy).state;
    return { queued, dead };
  } catch (error) {
    throw error instanceof HrError ? error : unusable(messageOf(error), error);
  }
}

function synced(file: string): void {
  const fd = openSync(file, 'r+');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Keeps the old file and what is beside it under other names in a folder of its own; they are the same files on the disk. */
function keep(folder: string, owner: { uid: number; gid: number }): string | null {
  const names = ['', ...BESIDE].map((ending) => QUEUE + ending).filter((name) => existsSync(path.join(folder, name)));
  if (names.length === 0) return null;
  const kept = path.join(folder, `${QUEUE}.replaced-${new Date().toISOString().replaceAll(/[:.]/g, '-')}`);
  mkdirSync(kept, { mode: 0o700 });
  if (process.getuid?.() === 0) chownSync(kept, owner.uid, owner.gid);
  for (const name of names) linkSync(path.join(folder, name), path.join(kept, name));
  syncFolder(kept);
  syncFolder(folder);
  return kept;
}

/**
 * Throws HrError `box_running` while a forwarder uses DATA_DIR, `backup_unusable` (nothing has changed), or what `node:fs` throws. What it
 * creates belongs to the owner of DATA_DIR, although root runs it.
 */
export function restoreBackup(config: Pick<Config, 'DATA_DIR'>, backup: string): Restored {
  const folder = path.resolve(config.DATA_DIR);
  const held = lock(config);
  const copy = path.join(folder, `${QUEUE}.restoring`);
  try {
    const owner = statSync(folder);
    const { queued, dead } = checkedCopy(backup, copy);
    for (const ending of BESIDE) rmSync(copy + ending, { force: true });
    if (process.getuid?.() === 0) chownSync(copy, owner.uid, owner.gid);
    synced(copy);
    const kept = keep(folder, owner);
    // A log of the old file must never be read into the new one.
    for (const ending of BESIDE) rmSync(path.join(folder, QUEUE + ending), { force: true });
    renameSync(copy, path.join(folder, QUEUE));
    syncFolder(folder);
    return { queued, dead, kept };
  } finally {
    for (const ending of ['', ...BESIDE]) rmSync(copy + ending, { force: true });
    held.release();
  }
}
