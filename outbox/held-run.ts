/**
 * One run with its memory and its disk. What is held stands, by seq, first in memory (the protocol's), then on disk, then among what
 * waits to be written; no reading is between them and in none of them. Where neither disk nor memory has room, the oldest go, counted.
 */
import { messageOf, systemCodeOf } from '../service/errors/errors.ts';
import type { DropCause, NumberedPayload } from '../contract/outbox-protocol.ts';
import type { OutboxRun } from './outbox-run.ts';
import type { RunFiles } from './spill-files.ts';

export interface HeldRunOptions {
  protocol: OutboxRun;
  files: RunFiles;
  memoryMax: number;
  /** Readings were given up: how many, and those of them that can still be read. */
  onDropped: (cause: DropCause, count: number, entries: readonly NumberedPayload[]) => void;
  onDiskError: (error: unknown) => void;
  /** Tests alone. */
  diskRetryMs?: number;
}

/** A disk that refused a write is asked again after this. */
const DISK_RETRY_MS = 1000;
/** Readings synced at once: where little space is left, some of them still fit. */
const WRITE_MAX = 1000;
/** Progress this young means that the forwarder stores as it should. */
const PROGRESS_MS = 1000;

export class HeldRun {
  readonly protocol: OutboxRun;
  readonly files: RunFiles;
  readonly #options: HeldRunOptions;
  /** To be written; ascending. Some are in the protocol's memory too, those beyond it are here alone. */
  #unwritten: NumberedPayload[] = [];
  /** Being written. */
  #writing: readonly NumberedPayload[] = [];
  #working: Promise<void> | undefined;
  #diskFull = false;
  #retryAtMs = 0;
  #droppedKept = 0;
  spilling = false;

  constructor(options: HeldRunOptions) {
    this.#options = options;
    this.protocol = options.protocol;
    this.files = options.files;
    if (options.protocol.recovered) {
      this.spilling = true;
      this.protocol.moreOnDisk = true;
    }
    this.#droppedKept = this.#droppedCount;
  }

  get #droppedCount(): number {
    return Object.values(this.protocol.dropped).reduce((sum, count) => sum + count, 0);
  }

  /** Highest seq that is in memory; where none is, the highest that is settled. */
  get #memoryTo(): number {
    return this.protocol.held.at(-1)?.seq ?? this.protocol.settledTo;
  }

  /** Highest seq on disk, or on its way to it. */
  get #beyondTo(): number {
    return Math.max(this.files.lastSeq, this.#writing.at(-1)?.seq ?? 0, this.#unwritten.at(-1)?.seq ?? 0);
  }

  get #hasMore(): boolean {
    return this.#beyondTo > this.#memoryTo;
  }

  /** Readings that are held. */
  get count(): number {
    return this.protocol.held.length + Math.max(0, this.#beyondTo - this.#memoryTo);
  }

  /** The protocol's share of memory; the other half is for what waits to be written. */
  get #half(): number {
    return this.#options.memoryMax / 2;
  }

  /** Readings in memory: the protocol's, and those beyond that wait to be written. */
  get inMemory(): number {
    return this.protocol.held.length + this.#waiting;
  }

  get #waiting(): number {
    return this.#unwritten.length - this.#indexOf(this.#memoryTo + 1);
  }

  /** Whether the disk has something to do. */
  get needsWork(): boolean {
    return this.spilling || this.files.bytes > 0;
  }

  /** Whether memory holds what the disk does not take. */
  get diskFull(): boolean {
    return this.#diskFull;
  }

  add(entry: NumberedPayload, nowMs: number): void {
    if (this.protocol.held.length >= this.#half) this.spill();
    if (this.spilling && (this.#hasMore || this.protocol.held.length >= this.#half)) this.protocol.moreOnDisk = true;
    else this.protocol.hold(entry, nowMs);
    if (this.spilling) this.#unwritten.push(entry);
  }

  /** Everything that is held goes to disk too, from now on. */
  spill(): void {
    if (this.spilling) return;
    this.spilling = true;
    const onDisk = this.files.lastSeq;
    this.#unwritten = this.protocol.held.filter(({ seq }) => seq > onDisk);
  }

  /** Does the disk's work: writes, gives up what is over the limit, reads on, removes. Run again and again; one at a time. */
  async work(maxBytes: number): Promise<void> {
    this.#working ??= this.#workOnce(maxBytes).finally(() => {
      this.#working = undefined;
    });
    await this.#working;
  }

  async #workOnce(maxBytes: number): Promise<void> {
    await this.#flush();
    await this.files.removeThrough(this.protocol.settledTo);
    while (this.files.bytes > maxBytes && (await this.#giveOldestFileUp()));
    if (this.#diskFull) await this.#keepToMemory();
    await this.#readOn(this.#half / 2);
    await this.#keepDropped();
    const idle = this.protocol.held.length < this.#half && !this.#hasMore && this.#unwritten.length === 0;
    if (this.spilling && idle && !this.protocol.recovered && performance.now() - this.protocol.lastProgressAtMs < PROGRESS_MS) {
      this.spilling = false;
      await this.files.closeOpen();
    }
  }

  async #flush(force = false): Promise<void> {
    this.#unwritten.splice(0, this.#indexOf(this.protocol.settledTo + 1));
    if (this.#diskFull && this.#unwritten.length > 0 && !force && performance.now() < this.#retryAtMs) return;
    this.#diskFull = false;
    while (this.#unwritten.length > 0) {
      this.#writing = this.#unwritten.splice(0, WRITE_MAX);
      try {
        await this.files.append(this.#writing);
      } catch (error) {
        // Nothing is lost yet: it waits in memory, and is written when the disk takes it.
        this.#unwritten.unshift(...this.#writing);
        this.#diskFull = true;
        this.#retryAtMs = performance.now() + (this.#options.diskRetryMs ?? DISK_RETRY_MS);
        this.#options.onDiskError(error);
        return;
      } finally {
        this.#writing = [];
      }
    }
  }

  /** With a disk that takes nothing, what is held in memory alone must not grow beyond its limit: the oldest go first. */
  async #keepToMemory(): Promise<void> {
    while (this.#waiting > this.#half) {
      if (this.files.lastSeq > this.protocol.settledTo) {
        // With the oldest file goes what is older in memory, and what waits may have room.
        await this.#giveOldestFileUp();
        await this.#flush(true);
        continue;
      }
      const dropped = this.protocol.dropOldest(
        Math.ceil(Math.min(this.#waiting - this.#half, this.protocol.held.length)),
        'outbox_full',
      );
      if (dropped.length > 0) this.#options.onDropped('outbox_full', dropped.length, dropped);
      await this.#readOn(this.#half);
    }
    await this.files.removeThrough(this.protocol.settledTo);
  }

  /** Index among what waits of the first with at least this seq. */
  #indexOf(seq: number): number {
    const index = this.#unwritten.findIndex((entry) => entry.seq >= seq);
    return index < 0 ? this.#unwritten.length : index;
  }

  async #giveOldestFileUp(): Promise<boolean> {
    const removed = await this.files.removeOldest();
    if (removed === undefined) return false;
    const { settledTo } = this.protocol;
    const memoryTo = this.#memoryTo;
    const lost = removed.entries.filter(({ seq }) => seq > settledTo);
    if (lost.length === 0) return true;
    this.protocol.dropThrough(removed.lastSeq, lost.filter(({ seq }) => seq > memoryTo).length, 'outbox_full');
    this.#options.onDropped('outbox_full', lost.length, lost);
    return true;
  }

  /** Where memory holds less than `low`: fills its half from disk, then from what waits to be written. */
  async #readOn(low: number): Promise<void> {
    const isLow = this.protocol.held.length < low;
    while (isLow && this.#hasMore && this.protocol.held.length < this.#half) {
      const after = this.#memoryTo;
      const beyondTo = this.#beyondTo;
      const entries = (await this.#readAfter(after)) ?? this.#unwritten.slice(this.#indexOf(after + 1));
      // What an earlier process had stored before it spilled is no damage.
      const first = entries[0]?.seq ?? beyondTo + 1;
      const known = !this.protocol.recovered || after > 0;
      const room = entries.slice(0, Math.ceil(this.#half - this.protocol.held.length));
      const span = (room.at(-1)?.seq ?? beyondTo) - (known ? after : first - 1);
      const now = performance.now();
      for (const entry of room) this.protocol.hold(entry, now);
      const missing = span - room.length;
      if (missing > 0 && after >= this.protocol.stored) {
        this.protocol.dropThrough(0, missing, 'damaged');
        this.#options.onDropped('damaged', missing, []);
      }
      if (room.length === 0) {
        this.protocol.lostBeyondMemory(beyondTo);
        break;
      }
    }
    this.protocol.moreOnDisk = this.#hasMore;
  }

  async #readAfter(after: number): Promise<NumberedPayload[] | undefined> {
    for (;;)
      try {
        return await this.files.readAfter(after);
      } catch (error) {
        // Too many open files is a trouble of the moment; what cannot be read for another reason is lost, and must not stop the rest.
        if (/^E[MN]FILE$/.test(systemCodeOf(error) ?? '')) throw error;
        this.#options.onDiskError(new Error(`the outbox cannot be read: ${messageOf(error)}`, { cause: error }));
        this.files.skipUnreadable(after);
      }
  }

  /** What was given up is kept beside the files, for the next process to tell. */
  async #keepDropped(): Promise<void> {
    const count = this.#droppedCount;
    if (count === this.#droppedKept || this.files.bytes === 0) return;
    try {
      await this.files.keepDropped(this.protocol.dropped);
      this.#droppedKept = count;
    } catch (error) {
      this.#options.onDiskError(error);
    }
  }

  /** Removes what is on disk, after everything is settled. */
  async finish(): Promise<void> {
    await this.#working?.catch(() => undefined);
    await this.files.removeAll();
  }

  /** Writes everything that is held, and closes. Throws where the disk does not take it. */
  async close(): Promise<void> {
    await this.#working?.catch(() => undefined);
    if (this.protocol.holdsAnything) this.spill();
    await this.#flush(true);
    await this.files.closeOpen();
    if (!this.protocol.unsettled) return await this.files.removeAll();
    await this.#keepDropped();
    if (this.#unwritten.length > 0) throw new Error(`${this.#unwritten.length} readings could not be written`);
  }
}
