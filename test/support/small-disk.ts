/** A small real file system for tests of a full disk. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

export interface SmallDisk {
  folder: string;
  freeBytes(): number;
  /** Creates a file that leaves only this much space free. */
  fillTo(freeBytes: number): void;
  /** Removes that file. */
  clear(): void;
}

const folders: string[] = [];

/**
 * Not in a hook of the test: hooks run in the order of their registration, and the processes that use the disk end in later ones. They
 * would go on writing to the folder below.
 */
function removeAtExit(folder: string): void {
  if (folders.push(folder) > 1) return;
  process.once('exit', () => {
    for (const each of folders) {
      spawnSync('umount', ['-l', each]);
      rmSync(each, { recursive: true, force: true });
    }
  });
}

/** Mounts a tmpfs of this size. Undefined if that is not permitted: the test then skips, or fails if CI is true. */
export function smallDisk(bytes: number): SmallDisk | undefined {
  const folder = mkdtempSync(path.join(tmpdir(), 'hr-gateway-disk-'));
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', folder]);
  removeAtExit(folder);
  if (mounted.status !== 0) {
    if (process.env['CI'] === 'true')
      throw new Error(`a small file system cannot be mounted: ${mounted.error?.message ?? String(mounted.stderr)}`);
    return undefined;
  }
  const ballast = path.join(folder, 'ballast');
  const freeBytes = (): number => {
    const { bavail, bsize } = statfsSync(folder);
    return bavail * bsize;
  };
  return {
    folder,
    freeBytes,
    fillTo(free) {
      if (existsSync(ballast)) rmSync(ballast);
      try {
        writeFileSync(ballast, Buffer.alloc(Math.max(0, freeBytes() - free)));
      } catch (error) {
        // What runs on the disk took the rest first: it is full, as wanted.
        if (free > 0 || !(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error;
      }
    },
    clear: () => rmSync(ballast, { force: true }),
  };
}
