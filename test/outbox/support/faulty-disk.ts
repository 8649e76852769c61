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
  'shrinkTo',
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
  #faults: { fault: DiskFault; left: number }[] = [];
  /** Calls that failed. */
  failed = 0;
  /** Names of files that were removed, or emptied in order to be. */
  readonly removed: string[] = [];
  onRemove: ((name: string) => void) | undefined;
  /** Called with the bytes of each read that succeeded. */
  onRead: ((bytes: number) => void) | undefined;
  /** Called after a file was renamed, with its former name. */
  onRename: ((name: string) => void) | undefined;
  /** Called before a file is created. */
  onCreate: ((name: string) => void) | undefined;

  /** The only fault from now on; undefined: none. */
  set fault(fault: DiskFault | undefined) {
    this.faults = fault === undefined ? [] : [fault];
  }

  /** All faults from now on: a call fails with the first one that it fits. */
  set faults(faults: readonly DiskFault[]) {
    this.#faults = faults.map((fault) => ({ fault, left: fault.times ?? Number.POSITIVE_INFINITY }));
  }

  #hits(call: DiskCall, file: string, isPart: (fault: DiskFault) => boolean = () => true): DiskFault | undefined {
    const hit = this.#faults.find(
      ({ fault, left }) =>
        left > 0 &&
        fault.calls.includes(call) &&
        (fault.name === undefined || path.basename(file).includes(fault.name)) &&
        isPart(fault),
    );
    if (hit === undefined) return undefined;
    hit.left -= 1;
    this.failed += 1;
    return hit.fault;
  }

  #check(call: DiskCall, file: string): void {
    const fault = this.#hits(call, file);
    if (fault !== undefined && fault.code !== 'short') throw errorOf(fault.code, call);
  }

  #handle(handle: SpillHandle, file: string): SpillHandle {
    return {
      read: async (buffer, position) => {
        const fault = this.#hits('read', file, ({ bytes: [from, to] = [0, Number.POSITIVE_INFINITY] }) => {
          return position < to && position + buffer.length > from;
        });
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
    this.onRename?.(path.basename(from));
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
  async shrinkTo(file: string, bytes: Buffer): Promise<void> {
    this.#check('shrinkTo', file);
    await nodeDisk.shrinkTo(file, bytes);
    this.removed.push(path.basename(file));
    this.onRemove?.(path.basename(file));
  }
  async syncFolder(folder: string): Promise<void> {
    this.#check('syncFolder', folder);
    await nodeDisk.syncFolder(folder);
  }
  async hasRoomFor(): Promise<boolean> {
    const isFull = this.#faults.some(({ fault }) => fault.code === 'ENOSPC' && fault.hasRoom !== true);
    return await Promise.resolve(!isFull);
  }
}
