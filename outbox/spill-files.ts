/**
 * A run on disk: files of checksummed lines (spill-lines.ts), appended and synced off the event loop. A file is removed once all of it is
 * stored. One that lost readings to damage is set aside instead, under another name, for a person to look into.
 *
 * Headers record what the process may have sent: after a crash that bounds the watermarks that are believed. So nothing above
 * `mayHaveSent` may be sent while there are files.
 */
import path from 'node:path';
import type { NumberedReading } from '../contract/delivery.ts';
import { systemCodeOf } from '../service/errors/errors.ts';
import type { DroppedRecord, DroppedSpan, SeqSpan } from './dropped-seqs.ts';
import { markOf } from './eviction-marks.ts';
import { writeAll, type SpillDisk, type SpillHandle } from './spill-disk.ts';
import { SpillCursor, type SpillFile } from './spill-file.ts';
import { encodeBlock, encodeEvicted, encodeFooter, encodeHeader, encodeLine } from './spill-lines.ts';
import type { SpillPart } from './spill-reader.ts';

const FILE_BYTES = 4 * 1024 * 1024;
/** More than what some file systems keep in the inode. */
const PROBE_BYTES = 4096;
/** Seqs beyond the newest one that a header allows to send. */
const SEND_AHEAD = 10_000;

export interface RunFilesOptions {
  disk: SpillDisk;
  folder: string;
  run: string;
  /** Whose sequencer gave out the numbers. */
  gateway: string;
  /** Size at which a file is closed and the next one begun. */
  fileBytes: number;
  existing?: SpillFile[];
  /** Marks of evictions that an earlier process did not record. */
  marks?: string[];
  nextIndex?: number;
  /** A damaged file was renamed and is kept. */
  onSetAside?: ((file: string, bytes: number) => void) | undefined;
  /** For tests: after this long an unreadable place counts as damaged. */
  salvageAfterMs?: number | undefined;
}

interface OpenFile {
  handle: SpillHandle;
  file: SpillFile;
}

export class RunFiles {
  readonly run: string;
  readonly gateway: string;
  readonly #disk: SpillDisk;
  readonly #folder: string;
  /** A file of this size is closed, and the next write begins another one. */
  readonly fileBytes: number;
  readonly #salvageAfterMs: number | undefined;
  readonly #cursors = new WeakMap<SpillFile, SpillCursor>();
  #mayHaveSent = 0;
  /** Highest seq that was written and synced. */
  #writtenTo = 0;
  #files: SpillFile[] = [];
  #open: OpenFile | undefined;
  #nextIndex: number;
  /** Evictions that only the names of these files record so far. */
  #marks: string[];
  readonly #onSetAside: RunFilesOptions['onSetAside'];

  constructor(options: RunFilesOptions) {
    this.#disk = options.disk;
    this.#folder = options.folder;
    this.run = options.run;
    this.gateway = options.gateway;
    this.fileBytes = options.fileBytes;
    this.#salvageAfterMs = options.salvageAfterMs;
    this.#onSetAside = options.onSetAside;
    this.#files = options.existing ?? [];
    this.#marks = options.marks ?? [];
    this.#nextIndex = options.nextIndex ?? 1;
  }

  /** Evictions are not in the record of dropped seqs yet: `keepDropped` is wanted. */
  get hasMarks(): boolean {
    return this.#marks.length > 0;
  }

  /** Highest seq that may be sent now; without files nothing has to be recorded. */
  get sendLimit(): number {
    return this.#files.length === 0 ? Number.POSITIVE_INFINITY : Math.max(this.#mayHaveSent, this.lastSeq);
  }

  /** Highest seq that may be sent during `append`: what its file will record, if the process is killed meanwhile. */
  sendLimitDuring(newest: number): number {
    return this.#files.length === 0 ? newest + SEND_AHEAD : this.sendLimit;
  }

  get bytes(): number {
    return this.#files.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  get count(): number {
    return this.#files.reduce((sum, { count }) => sum + count, 0);
  }

  get isEmpty(): boolean {
    return this.#files.length === 0;
  }

  get lastSeq(): number {
    return this.#files.at(-1)?.lastSeq ?? 0;
  }

  /**
   * Appends ascending readings and syncs them. `newest`: newest seq of the run; `droppedSpanOf`: why a seq right before them is missing.
   * After a failure the next call begins a new file: what the disk made of this one is not relied upon. Throws errors of the disk.
   */
  async append(
    entries: readonly NumberedReading[],
    newest: number,
    droppedSpanOf: (seq: number) => DroppedSpan | undefined = () => undefined,
  ): Promise<void> {
    const first = entries[0];
    const last = entries.at(-1);
    if (first === undefined || last === undefined) return;
    if (this.#open !== undefined && this.#open.file.bytes >= this.fileBytes) await this.closeOpen();
    this.#open ??= await this.#create(first.seq);
    const { handle, file } = this.#open;
    const may_have_sent = newest + SEND_AHEAD;
    const isRenewed = file.count === 0 || newest + SEND_AHEAD / 2 > this.#mayHaveSent;
    const { gateway, run } = this;
    const header = isRenewed ? encodeHeader({ gateway, run, may_have_sent, prev: this.#writtenTo, first: first.seq }) : '';
    const text = Buffer.from(header + this.#blocks(entries, droppedSpanOf).join(''));
    try {
      await writeAll(handle, text);
      await handle.sync();
    } catch (error) {
      await this.#abandon(this.#open);
      throw error;
    }
    if (isRenewed) this.#mayHaveSent = may_have_sent;
    this.#writtenTo = last.seq;
    file.lastSeq = last.seq;
    file.count += entries.length;
    file.bytes += text.length;
  }

  /** The lines of readings, in blocks without a gap. */
  #blocks(entries: readonly NumberedReading[], droppedSpanOf: (seq: number) => DroppedSpan | undefined): string[] {
    const lines: string[] = [];
    let prev = this.#writtenTo;
    for (let at = 0; at < entries.length;) {
      const from = entries[at]?.seq ?? 0;
      let end = at + 1;
      while (entries[end]?.seq === from + end - at) end += 1;
      const to = from + end - at - 1;
      lines.push(encodeBlock({ prev, from, to, gap: from > prev + 1 ? droppedSpanOf(from - 1) : undefined }));
      for (const entry of entries.slice(at, end)) lines.push(encodeLine(entry));
      prev = to;
      at = end;
    }
    return lines;
  }

  async #create(firstSeq: number): Promise<OpenFile> {
    const name = `${this.run}-${String(this.#nextIndex).padStart(8, '0')}.spill`;
    this.#nextIndex += 1;
    const file: SpillFile = {
      file: path.join(this.#folder, name),
      firstSeq,
      lastSeq: firstSeq - 1,
      count: 0,
      bytes: 0,
      isDamaged: false,
      confirmedTo: Number.POSITIVE_INFINITY,
    };
    const handle = await this.#createFile(file.file);
    this.#files.push(file);
    try {
      await this.#disk.syncFolder(this.#folder);
    } catch (error) {
      await this.#abandon({ handle, file });
      throw error;
    }
    return { handle, file };
  }

  async #createFile(file: string): Promise<SpillHandle> {
    try {
      return await this.#disk.create(file);
    } catch (error) {
      if (systemCodeOf(error) !== 'ENOENT') throw error;
      await this.#disk.makeFolder(this.#folder);
      return await this.#disk.create(file);
    }
  }

  /** Writes, syncs and removes a small file: whether the disk takes writes. Throws errors of the disk. */
  async probe(): Promise<void> {
    const file = path.join(this.#folder, `${this.run}.probe.tmp`);
    await this.#disk.remove(file);
    const handle = await this.#createFile(file);
    try {
      await writeAll(handle, Buffer.alloc(PROBE_BYTES));
      await handle.sync();
    } finally {
      await handle.close().catch(() => undefined);
      await this.#disk.remove(file).catch(() => undefined);
    }
  }

  /** Whether the file system reports room for these readings; true if it does not answer. */
  async hasRoomFor(entries: readonly NumberedReading[]): Promise<boolean> {
    const bytes = entries.reduce((sum, { payload }) => sum + payload.length, PROBE_BYTES);
    return await this.#disk.hasRoomFor(bytes, this.#folder);
  }

  /** After a failed write: removes a file without readings, truncates another one to its last good line. */
  async #abandon({ handle, file }: OpenFile): Promise<void> {
    this.#open = undefined;
    if (file.count > 0) await handle.truncate(file.bytes).catch(() => undefined);
    await handle.close().catch(() => undefined);
    if (file.count > 0) return;
    this.#files = this.#files.filter((other) => other !== file);
    await this.#disk.remove(file.file).catch(() => undefined);
  }

  /** Ends the file that is being written with a footer. Without one, the next start has to read it whole. */
  async closeOpen(): Promise<void> {
    const opened = this.#open;
    if (opened === undefined) return;
    const { handle, file } = opened;
    this.#open = undefined;
    const { firstSeq: first, lastSeq: last, count } = file;
    const footer = Buffer.from(encodeFooter({ first, last, count, may_have_sent: this.#mayHaveSent }));
    try {
      await writeAll(handle, footer);
      await handle.sync();
      file.bytes += footer.length;
    } catch {
      await handle.truncate(file.bytes).catch(() => undefined);
    } finally {
      await handle.close().catch(() => undefined);
    }
  }

  /**
   * The next readings above a seq and what is lost between them; undefined if nothing above it is on disk. Throws errors of the disk:
   * the next call tries again.
   */
  async read(after: number, max: number): Promise<SpillPart | undefined> {
    for (const file of this.#files) {
      if (file.lastSeq <= after) continue;
      let cursor = this.#cursors.get(file);
      if (cursor === undefined || cursor.takenTo > after) {
        cursor = new SpillCursor(this.#disk, file, this.#salvageAfterMs);
        this.#cursors.set(file, cursor);
      }
      const part = await cursor.next(after, max);
      if (part !== undefined) return part;
    }
    return undefined;
  }

  /** Removes files whose readings are all settled, or sets them aside. Throws errors of the disk; then only the others are gone. */
  async removeThrough(seq: number): Promise<void> {
    await this.#discardAll(this.#files.filter(({ lastSeq }) => lastSeq <= seq));
  }

  /** One that the disk does not remove holds up no other, only the newest of the run: its header says what may have been sent. */
  async #discardAll(files: readonly SpillFile[]): Promise<void> {
    const failures: unknown[] = [];
    const newest = this.#files.at(-1);
    for (const file of files)
      try {
        if (failures.length === 0 || file !== newest) await this.#discard(file);
      } catch (error) {
        failures.push(error);
      }
    if (failures.length > 0) throw failures[0];
  }

  /**
   * The oldest file that gives room: one known to be damaged would only be kept under another name. Behind such a file the newest one
   * stays: its header says what may have been sent.
   */
  #oldestForRoom(): SpillFile | undefined {
    const [oldest] = this.#files;
    if (oldest?.isDamaged !== true) return oldest;
    return this.#files.slice(0, -1).find(({ isDamaged }) => !isDamaged);
  }

  /**
   * Evicts the oldest file, or the oldest one that gives room on the disk. Returns the seqs above `settledTo` that the file held, and those
   * of its readings that can be read. Until `keepDropped` a mark counts them. Throws errors of the disk.
   */
  async removeOldest(settledTo: number, isForRoom: boolean): Promise<(SeqSpan & { readings: NumberedReading[] }) | undefined> {
    const file = isForRoom ? this.#oldestForRoom() : this.#files[0];
    if (file === undefined) return undefined;
    const span = { from: Math.max(file.firstSeq, settledTo + 1), to: file.lastSeq };
    const readings: NumberedReading[] = [];
    const cursor = new SpillCursor(this.#disk, file);
    try {
      for (let part = await cursor.next(0, file.count); part !== undefined; part = await cursor.next(0, file.count))
        readings.push(...part.readings);
    } catch {
      // Only the gaps that are published need them; they are counted by seq.
    }
    if (span.from <= span.to) await this.#mark(file, span);
    await this.#discard(file);
    return { ...span, readings };
  }

  /** Makes the name of an empty file, or its only line, say what is evicted: that needs no room, and survives a kill. */
  async #mark(file: SpillFile, span: SeqSpan): Promise<void> {
    const mark = markOf(file.file, span);
    if (file.isDamaged) {
      await this.#disk.remove(mark);
      await (await this.#disk.create(mark)).close();
      await this.#disk.syncFolder(this.#folder);
    } else {
      if (this.#open?.file === file) await this.#closeUnfinished();
      try {
        await this.#disk.rename(file.file, mark);
      } catch (error) {
        if (systemCodeOf(error) !== 'ENOSPC') throw error;
        // The folder itself has no room for a longer name.
        await this.#disk.shrinkTo(file.file, Buffer.from(encodeEvicted(span)));
        this.#files = this.#files.filter((other) => other !== file);
        this.#marks.push(file.file);
        return;
      }
      file.file = mark;
      await this.#disk.syncFolder(this.#folder);
      await this.#disk.empty(mark);
      this.#files = this.#files.filter((other) => other !== file);
    }
    this.#marks.push(mark);
  }

  async #closeUnfinished(): Promise<void> {
    const opened = this.#open;
    this.#open = undefined;
    await opened?.handle.close().catch(() => undefined);
  }

  async #discard(file: SpillFile): Promise<void> {
    if (!this.#files.includes(file)) return;
    if (this.#open?.file === file) await this.#closeUnfinished();
    if (file.isDamaged) this.#onSetAside?.(await setAside(this.#disk, file.file), file.bytes);
    else await this.#disk.remove(file.file);
    this.#files = this.#files.filter((other) => other !== file);
  }

  /** Removes everything of the run; damaged files are set aside. Throws errors of the disk. */
  async removeAll(): Promise<void> {
    await this.#discardAll([...this.#files]);
    await this.#removeMarks();
    await this.#disk.remove(droppedFile(this.#folder, this.run));
  }

  async #removeMarks(): Promise<void> {
    for (const mark of this.#marks) await this.#disk.remove(mark);
    this.#marks = [];
  }

  /** Writes which seqs were dropped, atomically, for the next process to report. Throws errors of the disk. */
  async keepDropped(record: DroppedRecord): Promise<void> {
    const file = droppedFile(this.#folder, this.run);
    const temporary = `${file}.tmp`;
    await this.#disk.remove(temporary);
    const handle = await this.#createFile(temporary);
    try {
      await writeAll(handle, Buffer.from(JSON.stringify(record)));
      await handle.sync();
    } finally {
      await handle.close().catch(() => undefined);
    }
    await this.#disk.rename(temporary, file);
    await this.#disk.syncFolder(this.#folder);
    await this.#removeMarks();
  }
}

export const droppedFile = (folder: string, run: string): string => path.join(folder, `${run}.dropped.json`);

/** Renames a damaged file, so that nothing reads or removes it any more: `<name>.damaged-<time>`. Returns the new name. */
export async function setAside(disk: SpillDisk, file: string): Promise<string> {
  const name = `${file}.damaged-${new Date().toISOString().replaceAll(/[-:]|\.\d+/g, '')}`;
  await disk.rename(file, name);
  return name;
}

/** How large files get: dropping one never costs more than an eighth of the limit. */
export const fileBytesFor = (maxBytes: number): number => Math.min(FILE_BYTES, Math.max(8192, Math.floor(maxBytes / 8)));
