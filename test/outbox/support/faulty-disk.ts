/** A real disk whose file operations fail when a test says so. */
import path from 'node:path';
import { nodeDisk, type SpillDisk, type SpillHandle } from '../../../outbox/spill-disk.ts';

export const DISK_CALLS = [
  'makeFolder',
  'list',
  'stat',
  'create',
  'openToRead',
  'read',
  'write',
  'sync',
  'truncate',
  'close',
  'rename',
  'remove',
  'empty',
  'syncFolder',
] as const;
export type DiskCall = (typeof DISK_CALLS)[number];

export interface DiskFault {
  calls: readonly DiskCall[];
  /** What they fail with. `short`: reads and writes move half of what they are given, and do not fail. */
  code: 'EIO' | 'ENOSPC' | 'EROFS' | 'EDQUOT' | 'short';
  /** How many calls fail; left out: all of them, until the fault is removed. */
  times?: number;
  /** A failing write has written half before; a failing sync may have lost it. */
  half?: boolean;
  /** Only on files with this in their name. */
  name?: string;
  /** With ENOSPC: the file system reports free space nevertheless. */
  hasRoom?: boolean;
  /** Only reads that touch this part of the file: first byte, and the one behind the last. */
  bytes?: readonly [number, number];
}

const errorOf = (code: string, call: string): Error =>
  Object.assign(new Error(`${code}: injected, ${call}`), { code, syscall: call });

export class FaultyDisk implements SpillDisk {
  #fault: DiskFault | undefined;
  #left = 0;
  /** Calls that failed. */
  failed = 0;
  /** Names of files that were removed, or emptied in order to be. */
  readonly removed: string[] = [];
  onRemove: ((name: string) => void) | undefined;
  /** Called with the bytes of each read that succeeded. */
  onRead: ((bytes: number) => void) | undefined;
  /** Called before a file is created. */
  onCreate: ((name: string) => void) | undefined;

  set fault(fault: DiskFault | undefined) {
    this.#fault = fault;
    this.#left = fault?.times ?? Number.POSITIVE_INFINITY;
  }

  #hits(call: DiskCall, file: string): DiskFault | undefined {
    const fault = this.#fault;
    if (fault === undefined || this.#left <= 0 || !fault.calls.includes(call)) return undefined;
    if (fault.name !== undefined && !path.basename(file).includes(fault.name)) return undefined;
    this.#left -= 1;
    this.failed += 1;
    return fault;
  }

  #check(call: DiskCall, file: string): void {
    const fault = this.#hits(call, file);
    if (fault !== undefined && fault.code !== 'short') throw errorOf(fault.code, call);
  }

  #handle(handle: SpillHandle, file: string): SpillHandle {
    return {
      read: async (buffer, position) => {
        const [from, to] = this.#fault?.bytes ?? [0, Number.POSITIVE_INFINITY];
        const isTouched = position < to && position + buffer.length > from;
        const fault = isTouched ? this.#hits('read', file) : undefined;
        if (fault === undefined) {
          const count = await handle.read(buffer, position);
          this.onRead?.(count);
          return count;
        }
        if (fault.code !== 'short') throw errorOf(fault.code, 'read');
        return await handle.read(buffer.subarray(0, Math.ceil(buffer.length / 2)), position);
      },
      write: async (bytes) => {
        const fault = this.#hits('write', file);
        if (fault === undefined) return await handle.write(bytes);
        const half = bytes.subarray(0, Math.ceil(bytes.length / 2));
        if (fault.code === 'short') return await handle.write(half);
        if (fault.half === true) await handle.write(half);
        throw errorOf(fault.code, 'write');
      },
      sync: async () => {
        this.#check('sync', file);
        await handle.sync();
      },
      truncate: async (bytes) => {
        this.#check('truncate', file);
        await handle.truncate(bytes);
      },
      close: async () => {
        await handle.close();
        this.#check('close', file);
      },
    };
  }

  async makeFolder(folder: string): Promise<void> {
    this.#check('makeFolder', folder);
    await nodeDisk.makeFolder(folder);
  }
  async list(folder: string): Promise<string[]> {
    this.#check('list', folder);
    return await nodeDisk.list(folder);
  }
  async stat(file: string): Promise<{ bytes: number; modifiedAtMs: number }> {
    this.#check('stat', file);
    return await nodeDisk.stat(file);
  }
  async create(file: string): Promise<SpillHandle> {
    this.onCreate?.(path.basename(file));
    this.#check('create', file);
    return this.#handle(await nodeDisk.create(file), file);
  }
  async openToRead(file: string): Promise<SpillHandle> {
    this.#check('openToRead', file);
    return this.#handle(await nodeDisk.openToRead(file), file);
  }
  async rename(from: string, to: string): Promise<void> {
    this.#check('rename', from);
    await nodeDisk.rename(from, to);
  }
  async remove(file: string): Promise<void> {
    this.#check('remove', file);
    await nodeDisk.remove(file);
    this.removed.push(path.basename(file));
    this.onRemove?.(path.basename(file));
  }
  async empty(file: string): Promise<void> {
    this.#check('empty', file);
    await nodeDisk.empty(file);
    const name = path.basename(file).replace(/\.evicted-.*/, '');
    this.removed.push(name);
    this.onRemove?.(name);
  }
  async syncFolder(folder: string): Promise<void> {
    this.#check('syncFolder', folder);
    await nodeDisk.syncFolder(folder);
  }
  async hasRoomFor(): Promise<boolean> {
    return await Promise.resolve(this.#fault?.code !== 'ENOSPC' || this.#fault.hasRoom === true);
  }
}
