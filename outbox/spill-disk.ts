/**
 * The file operations of the outbox: a narrow seam, so that tests can fail each of them. All are asynchronous: a slow disk blocks no event
 * loop. They throw what `node:fs` throws.
 */
import { mkdir, open, readdir, rename, rm, stat, truncate, type FileHandle } from 'node:fs/promises';
import { systemCodeOf } from '../service/errors/errors.ts';
import { syncFolderAsync } from '../service/storage/data-dir.ts';
import { hasRoomFor } from '../service/storage/disk-full.ts';

export interface SpillHandle {
  /** Reads into the whole buffer from a byte of the file on. Returns the bytes read; fewer than asked for may also mean a short read. */
  read(buffer: Buffer, position: number): Promise<number>;
  /** Writes at the end of the file. Returns how many bytes were written, which may be fewer than given. */
  write(bytes: Buffer): Promise<number>;
  /** fdatasync. */
  sync(): Promise<void>;
  truncate(bytes: number): Promise<void>;
  close(): Promise<void>;
}

export interface SpillDisk {
  /** Creates a folder (mode 0700) and its parents, if missing. */
  makeFolder(folder: string): Promise<void>;
  /** Names in a folder; none if it does not exist. */
  list(folder: string): Promise<string[]>;
  stat(file: string): Promise<{ bytes: number; modifiedAtMs: number }>;
  /** Creates a file (mode 0600) to append to; fails if it exists. */
  create(file: string): Promise<SpillHandle>;
  openToRead(file: string): Promise<SpillHandle>;
  /** Replaces `to` if it exists. */
  rename(from: string, to: string): Promise<void>;
  /** Removes a file; no error if it does not exist. */
  remove(file: string): Promise<void>;
  /** Truncates a file to nothing. */
  empty(file: string): Promise<void>;
  /** Overwrites a file from its beginning, syncs it, and cuts off the rest. That needs no room. */
  shrinkTo(file: string, bytes: Buffer): Promise<void>;
  /** Makes creations, renames and removals in a folder survive a power failure. */
  syncFolder(folder: string): Promise<void>;
  /** Whether the file system reports room for so many bytes; true if it does not answer. */
  hasRoomFor(bytes: number, folder: string): Promise<boolean>;
}

function handleOf(file: FileHandle): SpillHandle {
  return {
    read: async (buffer, position) => (await file.read(buffer, 0, buffer.length, position)).bytesRead,
    write: async (bytes) => (await file.write(bytes)).bytesWritten,
    sync: async () => await file.datasync(),
    truncate: async (bytes) => await file.truncate(bytes),
    close: async () => await file.close(),
  };
}

async function shrinkTo(file: string, bytes: Buffer): Promise<void> {
  const handle = await open(file, 'r+');
  try {
    for (let at = 0; at < bytes.length;) at += (await handle.write(bytes, at, bytes.length - at, at)).bytesWritten;
    await handle.datasync();
    await handle.truncate(bytes.length);
  } finally {
    await handle.close().catch(() => undefined);
  }
}

/** The real disk. */
export const nodeDisk: SpillDisk = {
  makeFolder: async (folder) => {
    await mkdir(folder, { recursive: true, mode: 0o700 });
  },
  list: async (folder) => {
    try {
      return await readdir(folder);
    } catch (error) {
      if (systemCodeOf(error) === 'ENOENT') return [];
      throw error;
    }
  },
  stat: async (file) => {
    const { size, mtimeMs } = await stat(file);
    return { bytes: size, modifiedAtMs: mtimeMs };
  },
  create: async (file) => handleOf(await open(file, 'ax', 0o600)),
  openToRead: async (file) => handleOf(await open(file, 'r')),
  rename: async (from, to) => await rename(from, to),
  remove: async (file) => await rm(file, { force: true }),
  empty: async (file) => await truncate(file),
  shrinkTo,
  syncFolder: async (folder) => await syncFolderAsync(folder),
  hasRoomFor,
};

/** Writes all bytes; a short write is continued, and one that writes nothing throws. */
export async function writeAll(handle: SpillHandle, bytes: Buffer): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    const written = await handle.write(bytes.subarray(at));
    if (written <= 0) throw Object.assign(new Error('the disk took nothing of a write'), { code: 'EIO' });
    at += written;
  }
}

/** Reads up to `size` bytes; fewer only at the end of the file. */
export async function readFully(handle: SpillHandle, size: number, position: number): Promise<Buffer> {
  const buffer = Buffer.alloc(size);
  let at = 0;
  while (at < size) {
    const count = await handle.read(buffer.subarray(at), position + at);
    if (count <= 0) break;
    at += count;
  }
  return buffer.subarray(0, at);
}

/** Opens a file, uses it and closes it. */
export async function reading<T>(disk: SpillDisk, file: string, use: (handle: SpillHandle) => Promise<T>): Promise<T> {
  const handle = await disk.openToRead(file);
  try {
    return await use(handle);
  } finally {
    await handle.close().catch(() => undefined);
  }
}
