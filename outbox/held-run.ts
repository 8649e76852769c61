/**
 * One run with its memory and its disk. By seq, readings are held first in memory (the protocol's), then on disk, then among those that
 * wait to be written; every held reading is in at least one of the three.
 *
 * What is on disk is removed only once it is settled, or for room: at the limit on disk, and while the disk has no space left (ENOSPC, and
 * the file system confirms it) and memory is full; what is removed is recorded beside the files before anything else is written. Any other
 * error of the disk costs nothing that is on it: operations are retried, and if memory is full meanwhile, the oldest of those that are in
 * memory alone are dropped and counted. Nothing is dropped because of one failed write: what is settled is removed and the write is tried
 * again before. Without a disk (`files` left out) nothing is ever dropped: the producer bounds what it adds.
 */
import type { DropCause, NumberedReading } from '../contract/delivery.ts';
import { systemCodeOf } from '../service/errors/errors.ts';
import { DiskRetry, type DiskTrouble } from './disk-retry.ts';
import type { SeqSpan } from './dropped-seqs.ts';
import type { HeldRunOptions } from './held-run-options.ts';
import type { OutboxRun } from './outbox-run.ts';
import type { RunFiles } from './spill-files.ts';
import type { LostSpan, SpillPart } from './spill-reader.ts';
import { Unwritten } from './unwritten.ts';

/** A failed operation is retried after this, and then less and less often. */
const RETRY_MS = 1000;
const WRITE_RETRY_MAX_MS = 4000;
const RETRY_MAX_MS = 30_000;
/** Readings synced at once. */
const WRITE_MAX = 1000;
/** As many after a write found no space: if little is left, some of them still fit. */
const WRITE_MAX_WITHOUT_SPACE = 20;
/** Readings may be dropped for a write that failed this recently, if it was not the first attempt. */
const TRIED_AGAIN_MS = 250;
/** After progress this recent the forwarder counts as storing normally. */
const PROGRESS_MS = 1000;
/** A disk that has not finished an operation after this hangs: memory must not grow meanwhile. */
const HANGING_MS = 5000;

const damaged = (from: number, to: number): LostSpan => ({ from, to, cause: 'damaged', isCutShort: false });

export class HeldRun {
  readonly protocol: OutboxRun;
  readonly files: RunFiles | undefined;
  readonly gateway: string;
  readonly #options: HeldRunOptions;
  readonly #retries: Record<'write' | 'read' | 'remove' | 'record', DiskRetry>;
  /** Those beyond the protocol's memory are held here alone. */
  readonly #unwritten = new Unwritten();
  /** Being written. */
  #writing: readonly NumberedReading[] = [];
  #working: Promise<void> | undefined;
  #workingSinceMs = 0;
  #droppedKept: number;
  #spilling = false;
  #writeMax = WRITE_MAX;
  /** The last write failed because the disk is full, so that removing files helps. */
  #isFull = false;
  /** An eviction after which the write failed again is not repeated before this: another process may be taking the space. */
  #evictAgainAtMs = 0;

  constructor(options: HeldRunOptions) {
    this.#options = options;
    this.protocol = options.protocol;
    this.files = options.files;
    this.gateway = options.gateway;
    const minMs = options.diskRetryMs ?? RETRY_MS;
    this.#retries = {
      write: new DiskRetry('write', minMs, options.diskRetryMs ?? WRITE_RETRY_MAX_MS),
      read: new DiskRetry('read', minMs, options.diskRetryMs ?? RETRY_MAX_MS),
      remove: new DiskRetry('remove', minMs, options.diskRetryMs ?? RETRY_MAX_MS),
      record: new DiskRetry('write', minMs, options.diskRetryMs ?? RETRY_MAX_MS),
    };
    if (options.protocol.isRecovered && options.files !== undefined) {
      this.#spilling = true;
      this.protocol.moreOnDisk = this.#hasMore;
    }
    this.#droppedKept = this.protocol.dropped.total;
  }

  /** Highest seq in memory; if there is none, the highest that is settled. */
  get #memoryTo(): number {
    return this.protocol.held.at(-1)?.seq ?? this.protocol.settledTo;
  }

  /** Highest seq on disk, or on its way to it. */
  get #beyondTo(): number {
    return Math.max(this.files?.lastSeq ?? 0, this.#writing.at(-1)?.seq ?? 0, this.#unwritten.last);
  }

  /** Whether any reading beyond those in memory is held. */
  get #hasMore(): boolean {
    return this.#beyondTo > this.protocol.dropped.coveredTo(this.#memoryTo);
  }

  /** Readings that are held. */
  get count(): number {
    const { held, dropped } = this.protocol;
    const memoryTo = this.#memoryTo;
    const beyondTo = this.#beyondTo;
    return held.length + Math.max(0, beyondTo - memoryTo) - dropped.countIn(memoryTo + 1, beyondTo);
  }

  get #half(): number {
    return this.#options.memoryMax / 2;
  }

  /** Readings in memory: the protocol's, and those beyond it that wait to be written. */
  get inMemory(): number {
    return this.protocol.held.length + this.#waiting;
  }

  get #waiting(): number {
    return this.#unwritten.countFrom(this.#memoryTo + 1);
  }

  /** Readings that are in memory alone although they should be on disk, too. */
  get unwritten(): number {
    return this.#unwritten.length + this.#writing.length;
  }

  /** New readings go to disk too. */
  get isSpilling(): boolean {
    return this.#spilling;
  }

  /** Whether there is work to do on the disk. */
  get needsWork(): boolean {
    return this.#spilling || this.files?.isEmpty === false || this.troubles.length > 0;
  }

  /** File operations that fail at present. */
  get troubles(): DiskTrouble[] {
    return Object.values(this.#retries).flatMap(({ trouble }) => trouble ?? []);
  }

  #failed(retry: DiskRetry, error: unknown): void {
    retry.failed(error, performance.now());
    this.#options.onDiskError(retry.operation, error);
  }

  add(reading: NumberedReading, nowMs: number): void {
    if (this.protocol.held.length >= this.#half) this.spill();
    if (this.#spilling && (this.#hasMore || this.protocol.held.length >= this.#half)) this.protocol.moreOnDisk = true;
    else this.protocol.hold(reading, nowMs);
    if (!this.#spilling) return;
    this.#unwritten.push(reading);
    if (this.inMemory > this.#options.memoryMax && this.#isHanging(nowMs)) this.#dropUnwritten(1);
  }

  #isHanging(nowMs: number): boolean {
    return this.#working !== undefined && nowMs - this.#workingSinceMs > HANGING_MS;
  }

  /** From now on everything that is held goes to disk too. */
  spill(): void {
    if (this.#spilling || this.files === undefined) return;
    this.#spilling = true;
    const onDisk = this.files.lastSeq;
    this.#unwritten.replace(this.protocol.held.filter(({ seq }) => seq > onDisk));
  }

  /** Does the work on the disk: writes, drops what is over the limit, reads ahead, removes. Called periodically; runs once at a time. */
  async work(maxBytes: number): Promise<void> {
    const { files } = this;
    if (files === undefined) return;
    this.#working ??= this.#worked(files, this.#workOnce(files, maxBytes));
    await this.#working;
  }

  async #worked(files: RunFiles, work: Promise<unknown>): Promise<void> {
    this.#workingSinceMs = performance.now();
    try {
      await work;
    } finally {
      this.#working = undefined;
      this.protocol.sendLimit = files.sendLimit;
    }
  }

  /** Removes the oldest file for the room of a newer run. False if there is none, or the disk does not remove it. */
  async evict(): Promise<boolean> {
    const { files } = this;
    while (this.#working !== undefined) await this.#working.catch(() => undefined);
    if (files === undefined || files.isEmpty) return false;
    const eviction = this.#evictOldestFile(files, true);
    const working = this.#worked(files, eviction);
    this.#working = working;
    await working;
    this.protocol.moreOnDisk = this.#hasMore;
    return await eviction;
  }

  async #workOnce(files: RunFiles, maxBytes: number): Promise<void> {
    await this.#flush(files);
    await this.#removeSettled(files);
    while (files.bytes > maxBytes && (await this.#evictOldestFile(files, false)));
    if (this.#retries.write.trouble !== undefined) await this.#keepToMemory(files);
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
    this.#unwritten.removeThrough(this.protocol.settledTo);
    const { write } = this.#retries;
    if (!force && !write.isDue(performance.now())) return;
    if (this.#unwritten.length === 0 && write.trouble !== undefined) await this.#probe(files);
    while (this.#unwritten.length > 0) {
      // A file is evicted as a whole, so a write is no larger than a file.
      this.#writing = this.#unwritten.take(this.#writeMax, files.fileBytes);
      this.protocol.sendLimit = files.sendLimitDuring(this.protocol.last);
      try {
        await files.append(this.#writing, this.protocol.last, (seq) => this.protocol.dropped.spanOf(seq));
        write.succeeded();
        this.#writeMax = Math.min(2 * this.#writeMax, WRITE_MAX);
      } catch (error) {
        // Nothing is lost yet: it stays in memory, and is written when the disk takes it.
        await this.#writeFailed(files, error);
        this.#unwritten.putBack(this.#writing);
        return;
      } finally {
        this.#writing = [];
      }
    }
  }

  async #writeFailed(files: RunFiles, error: unknown): Promise<void> {
    this.#failed(this.#retries.write, error);
    const isWithoutSpace = systemCodeOf(error) === 'ENOSPC';
    if (isWithoutSpace) this.#writeMax = WRITE_MAX_WITHOUT_SPACE;
    this.#isFull = isWithoutSpace && !(await files.hasRoomFor(this.#writing));
  }

  /** The last write failed, and what it held is stored by now: whether the disk takes writes again. */
  async #probe(files: RunFiles): Promise<void> {
    const { write } = this.#retries;
    try {
      await files.probe();
      write.succeeded();
    } catch (error) {
      await this.#writeFailed(files, error);
    }
  }

  async #removeSettled(files: RunFiles, force = false): Promise<void> {
    const { remove } = this.#retries;
    if (!force && !remove.isDue(performance.now())) return;
    try {
      // A file is settled too if all of it was dropped: then it stays until that is recorded.
      const { dropped, settledTo, stored } = this.protocol;
      await files.removeThrough(dropped.total === this.#droppedKept ? settledTo : Math.min(settledTo, stored));
      remove.succeeded();
    } catch (error) {
      // The files stay, and are sent once more if the process ends before they are removed.
      this.#failed(remove, error);
    }
  }

  /** While writes fail, what memory alone holds must not grow beyond its limit. */
  async #keepToMemory(files: RunFiles): Promise<void> {
    const { write } = this.#retries;
    const triedAgainMs = Math.min(this.#options.diskRetryMs ?? TRIED_AGAIN_MS, TRIED_AGAIN_MS);
    let isTriedAgain = write.failures > 1 && write.failedAgoMs(performance.now()) < triedAgainMs;
    while (write.trouble !== undefined && this.#waiting > this.#half) {
      if (!isTriedAgain) {
        await this.#removeSettled(files, true);
        await this.#flush(files, true);
        isTriedAgain = write.failures > 1;
      } else if (!(this.#isFull && (await this.#makeRoom(files)))) {
        this.#dropUnwritten(Math.ceil(this.#waiting - this.#half));
        await this.#readAhead(files, this.#half);
      }
    }
    await this.#removeSettled(files);
  }

  /** Only a disk without space gains from removing files; then the oldest readings make room for newer ones. False if that is no help. */
  async #makeRoom(files: RunFiles): Promise<boolean> {
    if (performance.now() < this.#evictAgainAtMs) return false;
    const isOlderEvicted = (await this.#options.evictOlder?.()) === true;
    if (!isOlderEvicted && !(files.lastSeq > this.protocol.settledTo && (await this.#evictOldestFile(files, true)))) return false;
    await this.#flush(files, true);
    if (this.#retries.write.trouble !== undefined)
      this.#evictAgainAtMs = performance.now() + (this.#options.diskRetryMs ?? WRITE_RETRY_MAX_MS);
    return true;
  }

  /** Drops the oldest of the readings that are in memory alone. */
  #dropUnwritten(count: number): void {
    const cause = this.#isFull ? 'outbox_full' : 'disk_failed';
    for (const { from, to, readings } of this.#unwritten.takeStretches(count)) this.#drop({ from, to }, cause, readings);
  }

  #drop(span: SeqSpan, cause: DropCause, readings: readonly NumberedReading[], isCutShort = false): void {
    for (const { from, to } of this.protocol.drop(span, cause))
      this.#options.onDropped({
        cause,
        isCutShort,
        from,
        to,
        count: to - from + 1,
        readings: readings.filter(({ seq }) => seq >= from && seq <= to),
      });
  }

  /** False if there is none, or the disk does not remove it. `isForRoom`: on the disk, not because of the limit. */
  async #evictOldestFile(files: RunFiles, isForRoom: boolean): Promise<boolean> {
    try {
      const removed = await files.removeOldest(this.protocol.settledTo, isForRoom);
      if (removed === undefined) return false;
      this.#drop(removed, 'outbox_full', removed.readings);
      // Before new readings take the room.
      await this.#keepDropped(files, true);
      return true;
    } catch (error) {
      this.#failed(this.#retries.remove, error);
      return false;
    }
  }

  /** If memory holds less than `low`: fills its half from disk, then from what waits to be written. */
  async #readAhead(files: RunFiles, low: number): Promise<void> {
    const isLow = this.protocol.held.length < low;
    while (isLow && this.#hasMore && this.protocol.held.length < this.#half) {
      const after = this.#memoryTo;
      const max = Math.ceil(this.#half - this.protocol.held.length);
      const part = await this.#readPart(files, after, max);
      if (part === undefined) break;
      const now = performance.now();
      for (const reading of part.readings) this.protocol.hold(reading, now);
      for (const { from, to, cause, isCutShort } of part.lost) this.#drop({ from, to }, cause, [], isCutShort);
    }
    this.protocol.moreOnDisk = this.#hasMore;
    if (!this.#hasMore) this.#retries.read.succeeded();
  }

  /** What comes after a seq; undefined if the disk cannot be read now. */
  async #readPart(files: RunFiles, after: number, max: number): Promise<SpillPart | undefined> {
    const { read } = this.#retries;
    if (files.lastSeq > after) {
      if (!read.isDue(performance.now())) return undefined;
      try {
        const part = await files.read(after, max);
        read.succeeded();
        if (part !== undefined) return part;
      } catch (error) {
        this.#failed(read, error);
        return undefined;
      }
      const lostFrom = this.protocol.dropped.coveredTo(after) + 1;
      if (lostFrom <= files.lastSeq) return { readings: [], lost: [damaged(lostFrom, files.lastSeq)] };
    }
    return { readings: this.#unwritten.from(after + 1, max), lost: [] };
  }

  /** Keeps what was dropped beside the files, for the next process to report. */
  async #keepDropped(files: RunFiles, force = false): Promise<void> {
    const { dropped, stored } = this.protocol;
    const { record } = this.#retries;
    if ((dropped.total === this.#droppedKept && !files.hasMarks) || dropped.last <= stored) return record.succeeded();
    if (!force && !record.isDue(performance.now())) return;
    try {
      await files.keepDropped(dropped.record);
      this.#droppedKept = dropped.total;
      record.succeeded();
    } catch (error) {
      this.#failed(record, error);
    }
  }

  /** Removes the files, after everything is settled. False if the disk does not remove them: to be called again. */
  async finish(): Promise<boolean> {
    await this.#working?.catch(() => undefined);
    const { remove } = this.#retries;
    if (!remove.isDue(performance.now())) return false;
    try {
      await this.files?.removeAll();
      return true;
    } catch (error) {
      this.#failed(remove, error);
      return false;
    }
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
