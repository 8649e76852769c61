/**
 * Files of the outbox's folder that were set aside, by this process or an earlier one: `<name>.damaged-<time>`. They are listed at start
 * and, as long as there are any, every 30 s: a person may have removed them. Nothing here removes a file.
 */
import path from 'node:path';
import type { SpillDisk } from './spill-disk.ts';

const SET_ASIDE_NAME = /\.damaged-\d{8}T\d{6}Z$/;
const LIST_EVERY_MS = 30_000;
const LIMIT_SHARE = 0.25;

export interface SetAsideTotal {
  files: number;
  bytes: number;
}

export class SetAsideFiles {
  readonly #disk: SpillDisk;
  readonly folder: string;
  /** More than this fails a check. */
  readonly limitBytes: number;
  #total: SetAsideTotal = { files: 0, bytes: 0 };
  #timer: NodeJS.Timeout | undefined;
  #isStopped = false;
  #isListed = false;

  /** `maxBytes`: limit of the outbox, which these files are not part of. */
  constructor(disk: SpillDisk, { folder, maxBytes }: { folder: string; maxBytes: number }) {
    this.#disk = disk;
    this.folder = folder;
    this.limitBytes = maxBytes * LIMIT_SHARE;
  }

  get total(): SetAsideTotal {
    return this.#total;
  }

  /** Lists the files. Never rejects: what the disk refuses now is tried again. */
  async list(): Promise<void> {
    try {
      const total = { files: 0, bytes: 0 };
      for (const name of await this.#disk.list(this.folder)) {
        if (!SET_ASIDE_NAME.test(name)) continue;
        total.files += 1;
        total.bytes += (await this.#disk.stat(path.join(this.folder, name))).bytes;
      }
      this.#total = total;
      this.#isListed = true;
    } catch {
      // What was counted before stays; a file that was removed meanwhile is not counted the next time.
    }
    this.#listLater();
  }

  /** A file was set aside now. */
  add(bytes: number): void {
    this.#total = { files: this.#total.files + 1, bytes: this.#total.bytes + bytes };
    this.#listLater();
  }

  #listLater(): void {
    if (this.#isStopped || (this.#isListed && this.#total.files === 0)) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      void this.list();
    }, LIST_EVERY_MS).unref();
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }
}
