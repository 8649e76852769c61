/**
 * One run with its memory and its disk. By seq, readings are held first in memory (the protocol's), then on disk, then among those that
 * wait to be written; every held reading is in at least one of the three. If neither disk nor memory has room, the oldest are dropped and
 * counted. Without a disk (`files` left out) nothing is ever dropped: the producer bounds what it adds.
 */
import { messageOf, systemCodeOf } from '../service/errors/errors.ts';
import type { DropCause, NumberedReading } from '../contract/delivery.ts';
import type { OutboxRun } from './outbox-run.ts';
import type { RunFiles } from './spill-files.ts';

export interface HeldRunOptions {
  protocol: OutboxRun;
  files: RunFiles | undefined;
  /** Whose sequencer gave out the numbers. */
  gateway: string;
  /** Readings in memory; half of them the protocol's, half waiting to be written. */
  memoryMax: number;
  /** Readings were dropped: through which seq, how many, and those of them that can still be read. */
  onDropped: (dropped: { cause: DropCause; to: number; count: number; readings: readonly NumberedReading[] }) => void;
  onDiskError: (error: unknown) => void;
  /** For tests. */
  diskRetryMs?: number;
}

/** A failed write is retried after this. */
const DISK_RETRY_MS = 1000;
/** Readings synced at once: if little space is left, some of them still fit. */
const WRITE_MAX = 1000;
/** After progress this recent the forwarder counts as storing normally. */
const PROGRESS_MS = 1000;

export class HeldRun {
  readonly protocol: OutboxRun;
  readonly files: RunFiles | undefined;
  readonly gateway: string;
  readonly #options: HeldRunOptions;
  /** To be written; ascending. Those beyond the protocol's memory are held here alone. */
  #unwritten: NumberedReading[] = [];
  /** Being written. */
  #writing: readonly NumberedReading[] = [];
  #working: Promise<void> | undefined;
  #diskFull = false;
  #retryAtMs = 0;
  #droppedKept = 0;
  #spilling = false;

  constructor(options: HeldRunOptions) {
    this.#options = options;
    this.protocol = options.protocol;
    this.files = options.files;
    this.gateway = options.gateway;
    if (options.protocol.isRecovered && options.files !== undefined) {
      this.#spilling = true;
      this.protocol.moreOnDisk = true;
    }
    this.#droppedKept = this.#droppedCount;
  }

  get #droppedCount(): number {
    return Object.values(this.protocol.dropped).reduce((sum, count) => sum + count, 0);
  }

  /** Highest seq in memory; if there is none, the highest that is settled. */
  get #memoryTo(): number {
    return this.protocol.held.at(-1)?.seq ?? this.protocol.settledTo;
  }

  /** Highest seq on disk, or on its way to it. */
  get #beyondTo(): number {
    return Math.max(this.files?.lastSeq ?? 0, this.#writing.at(-1)?.seq ?? 0, this.#unwritten.at(-1)?.seq ?? 0);
  }

  get #hasMore(): boolean {
    return this.#beyondTo > this.#memoryTo;
  }

  /** Readings that are held. */
  get count(): number {
    return this.protocol.held.length + Math.max(0, this.#beyondTo - this.#memoryTo);
  }

  get #half(): number {
    return this.#options.memoryMax / 2;
  }

  /** Readings in memory: the protocol's, and those beyond it that wait to be written. */
  get inMemory(): number {
    return this.protocol.held.length + this.#waiting;
  }

  get #waiting(): number {
    return this.#unwritten.length - this.#indexOf(this.#memoryTo + 1);
  }

  /** New readings go to disk too. */
  get isSpilling(): boolean {
    return this.#spilling;
  }

  /** Whether there is work to do on the disk. */
  get needsWork(): boolean {
    return this.#spilling || (this.files !== undefined && this.files.bytes > 0);
  }

  /** The last write failed: memory holds what the disk does not take. */
  get diskFull(): boolean {
    return this.#diskFull;
  }

  add(reading: NumberedReading, nowMs: number): void {
    if (this.protocol.held.length >= this.#half) this.spill();
    if (this.#spilling && (this.#hasMore || this.protocol.held.length >= this.#half)) this.protocol.moreOnDisk = true;
    else this.protocol.hold(reading, nowMs);
    if (this.#spilling) this.#unwritten.push(reading);
  }

  /** From now on everything that is held goes to disk too. */
  spill(): void {
    if (this.#spilling || this.files === undefined) return;
    this.#spilling = true;
    const onDisk = this.files.lastSeq;
    this.#unwritten = this.protocol.held.filter(({ seq }) => seq > onDisk);
  }

  /** Does the work on the disk: writes, drops what is over the limit, reads ahead, removes. Called periodically; runs once at a time. */
  async work(maxBytes: number): Promise<void> {
    const { files } = this;
    if (files === undefined) return;
    this.#working ??= this.#workOnce(files, maxBytes).finally(() => {
      this.#working = undefined;
      this.protocol.sendLimit = files.sendLimit;
    });
    await this.#working;
  }

  async #workOnce(files: RunFiles, maxBytes: number): Promise<void> {
    await this.#flush(files);
    await files.removeThrough(this.protocol.settledTo);
    while (files.bytes > maxBytes && (await this.#dropOldestFile(files)));
    if (this.#diskFull) await this.#keepToMemory(files);
    await this.#readAhead(files, this.#half / 2);
    await this.#keepDropped(files);
    const isCaughtUp = this.protocol.held.length < this.#half && !this.#hasMore && this.#unwritten.length === 0;
    const hasProgress = performance.now() - this.protocol.lastProgressAtMs < PROGRESS_MS;
    if (this.#spilling && isCaughtUp && !this.protocol.isRecovered && hasProgress) {
      this.#spilling = false;
      await files.closeOpen();
    }
  }

  async #flush(files: RunFiles, force = false): Promise<void> {
    this.#unwritten.splice(0, this.#indexOf(this.protocol.settledTo + 1));
    if (this.#diskFull && this.#unwritten.length > 0 && !force && performance.now() < this.#retryAtMs) return;
    this.#diskFull = false;
    while (this.#unwritten.length > 0) {
      this.#writing = this.#unwritten.splice(0, WRITE_MAX);
      this.protocol.sendLimit = files.sendLimitDuring(this.protocol.last);
      try {
        await files.append(this.#writing, this.protocol.last);
      } catch (error) {
        // Nothing is lost yet: it stays in memory, and is written when the disk takes it.
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

  /** While writes fail, what memory alone holds must not grow beyond its limit: the oldest are dropped first. */
  async #keepToMemory(files: RunFiles): Promise<void> {
    while (this.#waiting > this.#half) {
      if (files.lastSeq > this.protocol.settledTo) {
        // With the oldest file go the older readings in memory; then those that wait may have room.
        await this.#dropOldestFile(files);
        await this.#flush(files, true);
        continue;
      }
      const dropped = this.protocol.dropOldest(
        Math.ceil(Math.min(this.#waiting - this.#half, this.protocol.held.length)),
        'outbox_full',
      );
      const to = dropped.at(-1)?.seq;
      if (to !== undefined) this.#options.onDropped({ cause: 'outbox_full', to, count: dropped.length, readings: dropped });
      await this.#readAhead(files, this.#half);
    }
    await files.removeThrough(this.protocol.settledTo);
  }

  /** Index among the unwritten of the first with at least this seq. */
  #indexOf(seq: number): number {
    const index = this.#unwritten.findIndex((reading) => reading.seq >= seq);
    return index < 0 ? this.#unwritten.length : index;
  }

  async #dropOldestFile(files: RunFiles): Promise<boolean> {
    const removed = await files.removeOldest();
    if (removed === undefined) return false;
    const { settledTo } = this.protocol;
    const memoryTo = this.#memoryTo;
    const lost = removed.entries.filter(({ seq }) => seq > settledTo);
    if (lost.length === 0) return true;
    this.protocol.dropThrough(removed.lastSeq, lost.filter(({ seq }) => seq > memoryTo).length, 'outbox_full');
    this.#options.onDropped({ cause: 'outbox_full', to: removed.lastSeq, count: lost.length, readings: lost });
    return true;
  }

  /** If memory holds less than `low`: fills its half from disk, then from what waits to be written. */
  async #readAhead(files: RunFiles, low: number): Promise<void> {
    const isLow = this.protocol.held.length < low;
    while (isLow && this.#hasMore && this.protocol.held.length < this.#half) {
      const after = this.#memoryTo;
      const beyondTo = this.#beyondTo;
      const entries = (await this.#readAfter(files, after)) ?? this.#unwritten.slice(this.#indexOf(after + 1));
      // Seqs that an earlier process had stored before it spilled are no damage.
      const first = entries[0]?.seq ?? beyondTo + 1;
      const isKnown = !this.protocol.isRecovered || after > 0;
      const room = entries.slice(0, Math.ceil(this.#half - this.protocol.held.length));
      const readTo = room.at(-1)?.seq ?? beyondTo;
      const span = readTo - (isKnown ? after : first - 1);
      const now = performance.now();
      for (const entry of room) this.protocol.hold(entry, now);
      const missing = span - room.length;
      if (missing > 0 && after >= this.protocol.stored) {
        this.protocol.dropThrough(0, missing, 'damaged');
        this.#options.onDropped({ cause: 'damaged', to: readTo, count: missing, readings: [] });
      }
      if (room.length === 0) {
        this.protocol.lostBeyondMemory(beyondTo);
        break;
      }
    }
    this.protocol.moreOnDisk = this.#hasMore;
  }

  async #readAfter(files: RunFiles, after: number): Promise<NumberedReading[] | undefined> {
    for (;;)
      try {
        return await files.readAfter(after);
      } catch (error) {
        // Too many open files is temporary. What cannot be read for another reason is lost, and must not stop the rest.
        if (/^E[MN]FILE$/.test(systemCodeOf(error) ?? '')) throw error;
        this.#options.onDiskError(new Error(`the outbox cannot be read: ${messageOf(error)}`, { cause: error }));
        files.skipUnreadable(after);
      }
  }

  /** Keeps the counts of dropped readings beside the files, for the next process to report. */
  async #keepDropped(files: RunFiles): Promise<void> {
    const count = this.#droppedCount;
    if (count === this.#droppedKept || files.bytes === 0) return;
    try {
      await files.keepDropped(this.protocol.dropped);
      this.#droppedKept = count;
    } catch (error) {
      this.#options.onDiskError(error);
    }
  }

  /** Removes the files, after everything is settled. */
  async finish(): Promise<void> {
    await this.#working?.catch(() => undefined);
    await this.files?.removeAll();
  }

  /** Writes everything that is held, and closes. Throws if the disk does not take it. */
  async close(): Promise<void> {
    await this.#working?.catch(() => undefined);
    const { files } = this;
    if (files === undefined) return;
    if (this.protocol.holdsAnything) this.spill();
    await this.#flush(files, true);
    await files.closeOpen();
    if (!this.protocol.unsettled) return await files.removeAll();
    await this.#keepDropped(files);
    if (this.#unwritten.length > 0) throw new Error(`${this.#unwritten.length} readings could not be written`);
  }
}
