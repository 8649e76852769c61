/** One run with its memory and its disk: keeps the oldest readings in memory, what is beyond on disk, and what must survive a crash. */
import type { NumberedPayload } from '../../contract/outbox-protocol.ts';
import type { OutboxRun } from './outbox-run.ts';
import type { RunFiles } from './spill-files.ts';

export interface HeldRunOptions {
  protocol: OutboxRun;
  files: RunFiles;
  memoryMax: number;
  onDropped: (entries: readonly NumberedPayload[]) => void;
  onDiskError: (error: unknown) => void;
}

export class HeldRun {
  readonly protocol: OutboxRun;
  readonly files: RunFiles;
  readonly #options: HeldRunOptions;
  /** To be written; ascending. */
  #unwritten: NumberedPayload[] = [];
  /** Highest seq that is on disk, or about to be. */
  #spilledTo = 0;
  #working: Promise<void> | undefined;
  #diskFull = false;
  spilling = false;

  constructor(options: HeldRunOptions) {
    this.#options = options;
    this.protocol = options.protocol;
    this.files = options.files;
    if (options.protocol.recovered) {
      this.spilling = true;
      this.#spilledTo = options.files.lastSeq;
      this.protocol.moreOnDisk = true;
    }
  }

  get #memoryTo(): number {
    return this.protocol.held.at(-1)?.seq ?? this.protocol.stored;
  }

  get #onDiskOnly(): boolean {
    return this.spilling && Math.max(this.#spilledTo, this.#unwritten.at(-1)?.seq ?? 0) > Math.max(this.#memoryTo, this.protocol.stored);
  }

  get count(): number {
    return this.protocol.held.length + (this.#onDiskOnly ? Math.max(0, this.#spilledTo - Math.max(this.#memoryTo, this.protocol.stored)) : 0);
  }

  add(entry: NumberedPayload, nowMs: number): void {
    if (this.protocol.held.length >= this.#options.memoryMax / 2) this.spill();
    const beyond = this.spilling && !this.#diskFull && (this.protocol.held.length >= this.#options.memoryMax || this.#onDiskOnly);
    if (beyond) this.protocol.moreOnDisk = true;
    else this.protocol.hold(entry, nowMs);
    if (this.spilling) this.#write([entry]);
    if (this.protocol.held.length > this.#options.memoryMax) this.#options.onDropped(this.protocol.dropOldest(this.protocol.held.length - this.#options.memoryMax, 'outbox_full'));
  }

  /** Everything that is held goes to disk too, from now on. */
  spill(): void {
    if (this.spilling) return;
    this.spilling = true;
    this.#write(this.protocol.held.filter(({ seq }) => seq > this.#spilledTo));
  }

  #write(entries: readonly NumberedPayload[]): void {
    if (entries.length === 0) return;
    this.#unwritten.push(...entries);
    this.#spilledTo = Math.max(this.#spilledTo, entries.at(-1)?.seq ?? 0);
  }

  /** Does the disk's work: writes, reads on, removes. Run again and again; one at a time. */
  async work(maxBytes: number): Promise<void> {
    this.#working ??= this.#workOnce(maxBytes).finally(() => {
      this.#working = undefined;
    });
    await this.#working;
  }

  async #workOnce(maxBytes: number): Promise<void> {
    await this.#flush();
    await this.files.removeThrough(this.protocol.stored);
    while (this.files.bytes > maxBytes) await this.#giveOldestUp();
    await this.#readOn();
    const idle = this.protocol.held.length < this.#options.memoryMax / 2 && !this.#onDiskOnly && this.#unwritten.length === 0;
    if (this.spilling && idle && !this.protocol.recovered && performance.now() - this.protocol.lastProgressAtMs < 1000) {
      this.spilling = false;
      await this.files.closeOpen();
    }
  }

  async #flush(): Promise<void> {
    const entries = this.#unwritten.filter(({ seq }) => seq > this.protocol.stored);
    this.#unwritten = [];
    if (entries.length === 0) return;
    try {
      await this.files.append(entries);
      this.#diskFull = false;
    } catch (error) {
      this.#diskFull = true;
      this.#options.onDiskError(error);
      const inMemory = new Set(this.protocol.held.map(({ seq }) => seq));
      const lost = entries.filter(({ seq }) => !inMemory.has(seq));
      // What is in memory stays there and is tried again; what was for the disk alone is gone.
      if (lost.length > 0) {
        this.protocol.dropThrough(0, lost.length, 'outbox_full');
        this.#options.onDropped(lost);
      }
      this.#unwritten = entries.filter(({ seq }) => inMemory.has(seq)).concat(this.#unwritten);
      this.#spilledTo = Math.max(this.files.lastSeq, this.#unwritten.at(-1)?.seq ?? 0);
    }
  }

  async #giveOldestUp(): Promise<void> {
    const removed = await this.files.removeOldest();
    if (removed === undefined) return;
    const inMemory = new Set(this.protocol.held.map(({ seq }) => seq));
    const lost = removed.entries.filter(({ seq }) => seq > this.protocol.stored);
    this.protocol.dropThrough(removed.lastSeq, lost.filter(({ seq }) => !inMemory.has(seq)).length, 'outbox_full');
    if (lost.length > 0) {
      this.#options.onDropped(lost);
      try {
        this.files.keepDropped(this.protocol.dropped);
      } catch (error) {
        this.#options.onDiskError(error);
      }
    }
  }

  /** Fills memory from disk while there is room. */
  async #readOn(): Promise<void> {
    while (this.#onDiskOnly && this.protocol.held.length < this.#options.memoryMax / 2) {
      if (this.#unwritten.length > 0) await this.#flush();
      const after = Math.max(this.#memoryTo, this.protocol.stored);
      const entries = await this.files.readAfter(after);
      if (entries === undefined) {
        // What the disk should hold cannot be read any more.
        this.#spilledTo = after;
        break;
      }
      const now = performance.now();
      for (const entry of entries.slice(0, this.#options.memoryMax - this.protocol.held.length)) this.protocol.hold(entry, now);
    }
    this.protocol.moreOnDisk = this.#onDiskOnly;
  }

  /** Writes everything that is held, and closes. */
  async close(): Promise<void> {
    await this.#working?.catch(() => undefined);
    if (this.protocol.holdsAnything) this.spill();
    await this.#flush();
    await this.files.closeOpen();
    if (!this.protocol.holdsAnything) await this.files.removeAll();
  }
}
