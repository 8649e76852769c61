/**
 * Readings on disk, held beyond memory or against a crash: files of checksummed lines (spill-lines.ts), appended and synced off the event
 * loop. A file is removed once all of it is stored; at the limit the oldest file is dropped first. Damaged lines are left out.
 *
 * Headers record what the process may have sent: after a crash that bounds the watermarks that are believed. So nothing above
 * `mayHaveSent` may be sent while there are files.
 */
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { open, readFile, rename, rm, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { offerSchema, type DropCause, type NumberedReading } from '../contract/delivery.ts';
import { parserOf } from '../contract/validate.ts';
import { syncFolderAsync } from '../service/storage/data-dir.ts';
import { decodeHeader, decodeLines, encodeHeader, encodeLine } from './spill-lines.ts';

const FILE_BYTES = 4 * 1024 * 1024;
/** Bytes of a file that are read at once. */
const PIECE_BYTES = 256 * 1024;
/** Seqs beyond the newest one that a header allows to send. */
const SEND_AHEAD = 10_000;
const NAME = /^([0-9a-f]{16})-(\d{8})\.spill$/;

/** The readings above a seq in the first piece of a file that has any; none at the file's end. */
async function readPiece(file: SpillFile, seq: number): Promise<NumberedReading[]> {
  const handle = await open(file.file, 'r');
  try {
    let byte = file.readFrom !== undefined && file.readFrom.seq <= seq ? file.readFrom.byte : 0;
    for (let size = PIECE_BYTES; ;) {
      const { bytesRead, buffer } = await handle.read(Buffer.alloc(size), 0, size, byte);
      const isLast = bytesRead < size;
      const end = isLast ? bytesRead : buffer.lastIndexOf(0x0a, bytesRead - 1) + 1;
      const entries = decodeLines(buffer.toString('utf8', 0, end));
      const wanted = entries.filter((entry) => entry.seq > seq);
      if (wanted.length > 0 || isLast) {
        // The same piece is read again: its reader may take only some of it.
        file.readFrom = { seq, byte };
        return wanted;
      }
      byte += end;
      if (end === 0) size *= 2;
    }
  } finally {
    await handle.close();
  }
}

interface SpillFile {
  file: string;
  firstSeq: number;
  lastSeq: number;
  count: number;
  bytes: number;
  /** Where reading continues: everything up to a seq is before this byte. */
  readFrom?: { seq: number; byte: number };
}

export interface RunFilesOptions {
  folder: string;
  run: string;
  /** Whose sequencer gave out the numbers. */
  gateway: string;
  /** Size at which a file is closed and the next one begun. */
  fileBytes: number;
  existing?: SpillFile[];
  nextIndex?: number;
}

/** A run on disk. */
export class RunFiles {
  readonly run: string;
  readonly gateway: string;
  readonly #folder: string;
  readonly #fileBytes: number;
  #mayHaveSent = 0;
  #files: SpillFile[] = [];
  #open: { handle: FileHandle; file: SpillFile } | undefined;
  #nextIndex: number;

  constructor(options: RunFilesOptions) {
    this.#folder = options.folder;
    this.run = options.run;
    this.gateway = options.gateway;
    this.#fileBytes = options.fileBytes;
    this.#files = options.existing ?? [];
    this.#nextIndex = options.nextIndex ?? 1;
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

  get lastSeq(): number {
    return this.#files.at(-1)?.lastSeq ?? 0;
  }

  /**
   * Appends and syncs; `newest` is the newest seq of the run. The remains of a failed write are truncated, or left out when read. Throws
   * errors of the disk.
   */
  async append(entries: readonly NumberedReading[], newest: number): Promise<void> {
    const first = entries[0];
    const last = entries.at(-1);
    if (first === undefined || last === undefined) return;
    if (this.#open !== undefined && this.#open.file.bytes >= this.#fileBytes) await this.closeOpen();
    this.#open ??= await this.#create(first.seq);
    const { handle, file } = this.#open;
    const mayHaveSent = newest + SEND_AHEAD;
    const isRenewed = file.count === 0 || newest + SEND_AHEAD / 2 > this.#mayHaveSent;
    const header = isRenewed ? encodeHeader({ gateway: this.gateway, run: this.run, may_have_sent: mayHaveSent }) : '';
    const text = Buffer.from(header + entries.map(encodeLine).join(''));
    try {
      await handle.appendFile(text);
      await handle.datasync();
    } catch (error) {
      await this.#takeBack(this.#open);
      throw error;
    }
    if (isRenewed) this.#mayHaveSent = mayHaveSent;
    file.lastSeq = last.seq;
    file.count += entries.length;
    file.bytes += text.length;
  }

  async #create(firstSeq: number): Promise<{ handle: FileHandle; file: SpillFile }> {
    const name = `${this.run}-${String(this.#nextIndex).padStart(8, '0')}.spill`;
    this.#nextIndex += 1;
    const file: SpillFile = { file: path.join(this.#folder, name), firstSeq, lastSeq: firstSeq - 1, count: 0, bytes: 0 };
    const handle = await open(file.file, 'wx', 0o600);
    this.#files.push(file);
    try {
      await syncFolderAsync(this.#folder);
    } catch (error) {
      await this.#takeBack({ handle, file });
      throw error;
    }
    return { handle, file };
  }

  /** After a failed write: removes a file without readings, truncates another one to its last good line; the next write begins anew. */
  async #takeBack({ handle, file }: { handle: FileHandle; file: SpillFile }): Promise<void> {
    this.#open = undefined;
    if (file.count > 0) await handle.truncate(file.bytes).catch(() => undefined);
    await handle.close().catch(() => undefined);
    if (file.count > 0) return;
    this.#files = this.#files.filter((other) => other !== file);
    await rm(file.file, { force: true }).catch(() => undefined);
  }

  async closeOpen(): Promise<void> {
    const opened = this.#open;
    this.#open = undefined;
    await opened?.handle.close();
  }

  /** Some of the readings above a seq, ascending; undefined if there are none. */
  async readAfter(seq: number): Promise<NumberedReading[] | undefined> {
    for (const file of this.#files) {
      if (file.lastSeq <= seq) continue;
      const entries = await readPiece(file, seq);
      if (entries.length > 0) return entries;
      // Nothing in it can be read any more.
      file.lastSeq = Math.min(file.lastSeq, seq);
    }
    return undefined;
  }

  /** The file with the readings after a seq cannot be read: from now on it counts as empty. */
  skipUnreadable(seq: number): void {
    const file = this.#files.find(({ lastSeq }) => lastSeq > seq);
    if (file !== undefined) file.lastSeq = Math.min(file.lastSeq, seq);
  }

  /** Removes files whose readings are all settled. */
  async removeThrough(seq: number): Promise<void> {
    for (let file = this.#files[0]; file !== undefined && file.lastSeq <= seq; file = this.#files[0]) {
      this.#files.shift();
      if (this.#open?.file === file) await this.closeOpen();
      await rm(file.file, { force: true });
    }
  }

  /** Removes the oldest file although it is not stored; returns its readings. */
  async removeOldest(): Promise<{ entries: NumberedReading[]; lastSeq: number } | undefined> {
    const file = this.#files.shift();
    if (file === undefined) return undefined;
    if (this.#open?.file === file) await this.closeOpen();
    const entries = await readFile(file.file, 'utf8').then(decodeLines, () => []);
    await rm(file.file, { force: true });
    return { entries, lastSeq: file.lastSeq };
  }

  /** Removes everything of the run. */
  async removeAll(): Promise<void> {
    await this.closeOpen();
    for (const { file } of this.#files.splice(0)) await rm(file, { force: true });
    await rm(droppedFile(this.#folder, this.run), { force: true });
  }

  /** Writes the counts of dropped readings, atomically, for the next process to report. */
  async keepDropped(dropped: Readonly<Record<string, number>>): Promise<void> {
    const file = droppedFile(this.#folder, this.run);
    const handle = await open(`${file}.tmp`, 'w', 0o600);
    try {
      await handle.writeFile(JSON.stringify(dropped));
      await handle.datasync();
    } finally {
      await handle.close();
    }
    await rename(`${file}.tmp`, file);
  }
}

const droppedFile = (folder: string, run: string): string => path.join(folder, `${run}.dropped.json`);

export interface EarlierRun {
  files: RunFiles;
  lastSeq: number;
  /** undefined: the files are of 1.0.0. */
  mayHaveSent: number | undefined;
  dropped: Partial<Record<DropCause, number>>;
}

/** How large files get: dropping one never costs more than an eighth of the limit. */
export const fileBytesFor = (maxBytes: number): number => Math.min(FILE_BYTES, Math.max(8192, Math.floor(maxBytes / 8)));

const parseDropped = parserOf(offerSchema.properties.dropped);

/** Counts of dropped readings; none if the file cannot be read. */
function readDropped(file: string): EarlierRun['dropped'] {
  try {
    const parsed = parseDropped(readFileSync(file, 'utf8'));
    return parsed.ok ? parsed.value : {};
  } catch {
    return {};
  }
}

interface FoundFile extends SpillFile {
  mayHaveSent: number | undefined;
  gateway: string | undefined;
}

/** Reads a spill file. One without readings is removed; one that cannot be read is left alone, and must not prevent the start. */
function readSpillFile(file: string): FoundFile | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
  const entries = decodeLines(text);
  const header = decodeHeader(text);
  const first = entries[0];
  const last = entries.at(-1);
  if (first !== undefined && last !== undefined)
    return {
      file,
      firstSeq: first.seq,
      lastSeq: last.seq,
      count: entries.length,
      bytes: Buffer.byteLength(text),
      mayHaveSent: header?.may_have_sent,
      // Readings of 1.0.0 carry the name of their box, files only since then.
      gateway: header?.gateway ?? /"gateway":"([a-z0-9-]{1,64})"/.exec(first.payload)?.[1],
    };
  rmSync(file, { force: true });
  return undefined;
}

/** Runs that earlier processes left, oldest first. `gateway`: name of this box, for files that do not say whose they are. */
export function findEarlierRuns(folder: string, maxBytes: number, gateway: string): EarlierRun[] {
  if (!existsSync(folder)) return [];
  const byRun = new Map<string, { index: number; file: string; mtimeMs: number }[]>();
  const names = readdirSync(folder);
  for (const name of names) {
    const match = NAME.exec(name);
    const run = match?.[1];
    if (run === undefined) continue;
    const file = path.join(folder, name);
    byRun.set(run, [...(byRun.get(run) ?? []), { index: Number(match?.[2]), file, mtimeMs: statSync(file).mtimeMs }]);
  }
  for (const name of names)
    if (/\.dropped\.json(\.tmp)?$/.test(name) && !byRun.has(name.slice(0, 16))) rmSync(path.join(folder, name), { force: true });
  const runs = [...byRun].map(([run, files]) => ({
    run,
    files: files.sort((a, b) => a.index - b.index),
    oldestMs: Math.min(...files.map(({ mtimeMs }) => mtimeMs)),
  }));
  return runs
    .sort((a, b) => a.oldestMs - b.oldestMs)
    .flatMap(({ run, files }) => {
      const spilled = files.flatMap(({ file }) => readSpillFile(file) ?? []);
      if (spilled.length === 0) return [];
      const known = spilled.flatMap(({ mayHaveSent }) => mayHaveSent ?? []);
      return [
        {
          files: new RunFiles({
            folder,
            run,
            gateway: spilled.find((file) => file.gateway !== undefined)?.gateway ?? gateway,
            fileBytes: fileBytesFor(maxBytes),
            existing: spilled,
            nextIndex: (files.at(-1)?.index ?? 0) + 1,
          }),
          lastSeq: Math.max(...spilled.map(({ lastSeq }) => lastSeq)),
          mayHaveSent: known.length === 0 ? undefined : Math.max(...known),
          dropped: readDropped(droppedFile(folder, run)),
        },
      ];
    });
}
