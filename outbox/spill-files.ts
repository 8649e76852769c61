/**
 * Readings on disk that are held beyond memory or against a crash: files of checksummed lines in DATA_DIR/outbox, appended and synced off
 * the event loop. A file goes when all of it is stored; the oldest file goes first when the limit is reached. Damaged lines are left out.
 */
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { open, readFile, rename, rm, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { crc32 } from 'node:zlib';
import type { NumberedPayload } from '../contract/outbox-protocol.ts';
import { RUN_PATTERN } from '../contract/topics.ts';

const FILE_BYTES = 4 * 1024 * 1024;
/** A piece of a file that is read at once. */
const PIECE_BYTES = 256 * 1024;
const NAME = /^([0-9a-f]{16})-(\d{8})\.spill$/;

export function encodeLine({ seq, payload }: NumberedPayload): string {
  const text = `${seq} ${payload}`;
  return `${crc32(text).toString(16).padStart(8, '0')} ${text}\n`;
}

/** The readings of a file's text, damaged lines left out, ascending. */
export function decodeLines(text: string): NumberedPayload[] {
  const entries: NumberedPayload[] = [];
  let last = 0;
  for (const line of text.split('\n')) {
    const body = line.slice(9);
    if (line.length < 11 || line[8] !== ' ' || crc32(body).toString(16).padStart(8, '0') !== line.slice(0, 8)) continue;
    const space = body.indexOf(' ');
    const seq = Number(body.slice(0, space));
    if (space < 1 || !Number.isSafeInteger(seq) || seq <= last) continue;
    last = seq;
    entries.push({ seq, payload: body.slice(space + 1) });
  }
  return entries;
}

/** The first piece of a file that has readings above a seq: those readings; none at the file's end. */
async function readPiece(file: SpillFile, seq: number): Promise<NumberedPayload[]> {
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
  /** Where reading goes on: everything up to a seq stands before this byte. */
  readFrom?: { seq: number; byte: number };
}

/** What a run left on disk. */
export class RunFiles {
  readonly run: string;
  readonly #folder: string;
  readonly #fileBytes: number;
  #files: SpillFile[] = [];
  #open: { handle: FileHandle; file: SpillFile } | undefined;
  #nextIndex: number;

  constructor(folder: string, run: string, fileBytes: number, existing: SpillFile[] = [], nextIndex = 1) {
    this.#folder = folder;
    this.run = run;
    this.#fileBytes = fileBytes;
    this.#files = existing;
    this.#nextIndex = nextIndex;
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

  /** Appends and syncs; what a failed write leaves is taken back, or left out when read. Throws what the disk throws. */
  async append(entries: readonly NumberedPayload[]): Promise<void> {
    const first = entries[0];
    const last = entries.at(-1);
    if (first === undefined || last === undefined) return;
    if (this.#open !== undefined && this.#open.file.bytes >= this.#fileBytes) await this.closeOpen();
    this.#open ??= await this.#create(first.seq);
    const { handle, file } = this.#open;
    const text = Buffer.from(entries.map(encodeLine).join(''));
    try {
      await handle.appendFile(text);
      await handle.datasync();
    } catch (error) {
      await this.#takeBack(this.#open);
      throw error;
    }
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
      await syncFolder(this.#folder);
    } catch (error) {
      await this.#takeBack({ handle, file });
      throw error;
    }
    return { handle, file };
  }

  /** After a failed write: a file that holds nothing goes, another ends where it was whole; a new one begins at the next try. */
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

  /** Some of the readings above a seq, the next first; undefined where there are none. */
  async readAfter(seq: number): Promise<NumberedPayload[] | undefined> {
    for (const file of this.#files) {
      if (file.lastSeq <= seq) continue;
      const entries = await readPiece(file, seq);
      if (entries.length > 0) return entries;
      // Nothing readable is left in it: it holds nothing.
      file.lastSeq = Math.min(file.lastSeq, seq);
    }
    return undefined;
  }

  /** The file that holds what comes after a seq cannot be read: it holds nothing. */
  skipUnreadable(seq: number): void {
    const file = this.#files.find(({ lastSeq }) => lastSeq > seq);
    if (file !== undefined) file.lastSeq = Math.min(file.lastSeq, seq);
  }

  /** Removes files of which everything is settled. */
  async removeThrough(seq: number): Promise<void> {
    for (let file = this.#files[0]; file !== undefined && file.lastSeq <= seq; file = this.#files[0]) {
      this.#files.shift();
      if (this.#open?.file === file) await this.closeOpen();
      await rm(file.file, { force: true });
    }
  }

  /** Gives the oldest file up; returns its readings. */
  async removeOldest(): Promise<{ entries: NumberedPayload[]; lastSeq: number } | undefined> {
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

  /** Keeps what was dropped, for the next process to tell: whole or not at all. */
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

/** A file that was made or removed is so on the disk too. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

export interface EarlierRun {
  files: RunFiles;
  lastSeq: number;
  dropped: Record<string, number>;
}

/** How large files get, so that giving one up never costs more than an eighth of the limit. */
export const fileBytesFor = (maxBytes: number): number => Math.min(FILE_BYTES, Math.max(8192, Math.floor(maxBytes / 8)));

/** What was counted as dropped; nothing where the file says nothing of sense. */
function readDropped(file: string): Record<string, number> {
  try {
    const parsed: unknown = JSON.parse(readFileSync(file, 'utf8'));
    if (typeof parsed !== 'object' || parsed === null) return {};
    return Object.fromEntries(
      Object.entries(parsed).filter(
        (entry): entry is [string, number] => Number.isSafeInteger(entry[1]) && (entry[1] as number) >= 0,
      ),
    );
  } catch {
    return {};
  }
}

/** A spill file's readings, or undefined where it holds none; then it is removed. One that cannot be read is left alone: it must not stop a start. */
function readSpillFile(file: string): SpillFile | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
  const entries = decodeLines(text);
  const first = entries[0];
  const last = entries.at(-1);
  if (first !== undefined && last !== undefined)
    return { file, firstSeq: first.seq, lastSeq: last.seq, count: entries.length, bytes: Buffer.byteLength(text) };
  rmSync(file, { force: true });
  return undefined;
}

/** What earlier processes left, oldest first. */
export function findEarlierRuns(folder: string, maxBytes: number): EarlierRun[] {
  if (!existsSync(folder)) return [];
  const byRun = new Map<string, { index: number; file: string; mtimeMs: number }[]>();
  const names = readdirSync(folder);
  for (const name of names) {
    const match = NAME.exec(name);
    const run = match?.[1];
    if (run === undefined || !RUN_PATTERN.test(run)) continue;
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
      return [
        {
          files: new RunFiles(folder, run, fileBytesFor(maxBytes), spilled, (files.at(-1)?.index ?? 0) + 1),
          lastSeq: Math.max(...spilled.map(({ lastSeq }) => lastSeq)),
          dropped: readDropped(droppedFile(folder, run)),
        },
      ];
    });
}
