/** The disk space of the queue's file: a reserve for a full disk, and what the file itself uses. */
import { existsSync, rmSync, statfsSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Database } from '../../service/storage/sqlite.ts';

export const RESERVE_BYTES = 1024 * 1024;

/** A file that holds some space, to be released when the disk is full, so that deletes can still be committed. */
export class Reserve {
  readonly #file: string;

  constructor(queueFile: string) {
    this.#file = `${queueFile}.reserve`;
  }

  get exists(): boolean {
    return existsSync(this.#file);
  }

  /** Writes the reserve if it is missing. Without space for it there is none. */
  fill(): void {
    try {
      if (this.exists && statSync(this.#file).size === RESERVE_BYTES) return;
      writeFileSync(this.#file, Buffer.alloc(RESERVE_BYTES));
    } catch {
      this.release();
    }
  }

  /** Frees the space. Never throws: it is called while the disk fails, and what it does not remove is released the next time. */
  release(): void {
    try {
      rmSync(this.#file, { force: true });
    } catch {
      // The error that matters is the one of the write.
    }
  }
}

export function freeDiskBytes(file: string): number {
  const { bavail, bsize } = statfsSync(path.dirname(file));
  return bavail * bsize;
}

function sizeOf(file: string): number {
  try {
    return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  } catch {
    return 0;
  }
}

/** Size of a queue's file and its log; 0 for one that does not exist, or that the disk does not report. */
export const bytesOnDisk = (file: string): number => sizeOf(file) + sizeOf(`${file}-wal`);

const pragma = (database: Database, name: string): number => database.pragma(name, { simple: true }) as number;

/** How long a write waits for the lock of another process. A stop, which may need two writes, has 8 s. */
export const LOCK_WAIT_MS = 2000;

/**
 * Writes the WAL into the file and truncates it. False if another process reads an older state of the file, so that its log must stay: this
 * does not wait for it.
 */
export function checkpoint(database: Database): boolean {
  const { log, checkpointed } = checkpointResult(database, 'PASSIVE');
  if (checkpointed < log) return false;
  database.pragma('busy_timeout = 0');
  try {
    return checkpointResult(database, 'TRUNCATE').busy === 0;
  } finally {
    database.pragma(`busy_timeout = ${LOCK_WAIT_MS}`);
  }
}

function checkpointResult(database: Database, kind: string): { busy: number; log: number; checkpointed: number } {
  const [result] = database.pragma(`wal_checkpoint(${kind})`) as { busy: number; log: number; checkpointed: number }[];
  return result ?? { busy: 1, log: 0, checkpointed: 0 };
}

/** Bytes of the pages in use, wherever they are: in the file or in its WAL. */
export function pageBytes(database: Database): number {
  const pages = pragma(database, 'page_count') - pragma(database, 'freelist_count');
  return pages * pragma(database, 'page_size');
}

/** Bytes on disk: used pages and the WAL. */
export function usedBytes(database: Database): number {
  return pageBytes(database) + walBytes(database);
}

export function walBytes(database: Database): number {
  try {
    return statSync(`${database.name}-wal`).size;
  } catch {
    return 0;
  }
}

/**
 * Deletes leave free pages in the file. If they are most of it, and the disk has room for a copy of the rest, the file is rewritten
 * without them.
 */
export function returnFreePages(database: Database): void {
  const free = pragma(database, 'freelist_count') * pragma(database, 'page_size');
  const used = pragma(database, 'page_count') * pragma(database, 'page_size') - free;
  if (free < 2 * RESERVE_BYTES || used > free || 2 * used > freeDiskBytes(database.name)) return;
  database.exec('VACUUM');
  checkpoint(database);
}
