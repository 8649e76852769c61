/**
 * Readings on disk that are held beyond memory or against a crash: files of checksummed lines in DATA_DIR/outbox, appended and synced off
 * the event loop. A file goes when all of it is stored; the oldest file goes first when the limit is reached. Damaged lines are left out.
 */
import { closeSync, existsSync, fsyncSync, openSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { open, readFile, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { crc32 } from 'node:zlib';
import type { NumberedPayload } from '../../contract/outbox-protocol.ts';
import { writeFileAtomic } from '../../service/data-dir.ts';
import { RUN_PATTERN } from '../../contract/topics.ts';

const FILE_BYTES = 4 * 1024 * 1024;
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

interface SpillFile {
  file: string;
  firstSeq: number;
  lastSeq: number;
  count: number;
  bytes: number;
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

  /** Appends and syncs; a failed write leaves a torn line, which is left out when read. Throws what the disk throws. */
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
      // A new file begins at the next try: nothing is appended to a torn line.
      await this.closeOpen().catch(() => undefined);
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
    syncFolderSoon(this.#folder);
    this.#files.push(file);
    return { handle, file };
  }

  async closeOpen(): Promise<void> {
    const opened = this.#open;
    this.#open = undefined;
    await opened?.handle.close();
  }

  /** Readings above a seq, from the file that holds the next of them; undefined where there are none. */
  async readAfter(seq: number): Promise<NumberedPayload[] | undefined> {
    for (const file of this.#files) {
      if (file.lastSeq <= seq) continue;
      const entries = decodeLines(await readFile(file.file, 'utf8')).filter((entry) => entry.seq > seq);
      if (entries.length > 0) return entries;
      // Nothing readable is left in it: it holds nothing.
      file.lastSeq = Math.min(file.lastSeq, seq);
    }
    return undefined;
  }

  /** Removes files of which everything is stored. */
  async removeThrough(seq: number): Promise<void> {
    while (this.#files[0] !== undefined && this.#files[0].lastSeq <= seq && (this.#files[0].count > 0 || this.#open?.file !== this.#files[0])) {
      const [file] = this.#files.splice(0, 1);
      if (file === undefined) return;
      if (this.#open?.file === file) await this.closeOpen();
      rmSync(file.file, { force: true });
    }
  }

  /** Gives the oldest file up; returns its readings. */
  async removeOldest(): Promise<{ entries: NumberedPayload[]; lastSeq: number } | undefined> {
    const file = this.#files.shift();
    if (file === undefined) return undefined;
    if (this.#open?.file === file) await this.closeOpen();
    const entries = await readFile(file.file, 'utf8').then(decodeLines, () => []);
    rmSync(file.file, { force: true });
    return { entries, lastSeq: file.lastSeq };
  }

  /** Removes everything of the run. */
  async removeAll(): Promise<void> {
    await this.closeOpen();
    for (const { file } of this.#files.splice(0)) rmSync(file, { force: true });
    rmSync(droppedFile(this.#folder, this.run), { force: true });
  }

  /** Keeps what was dropped, for the next process to tell. */
  keepDropped(dropped: Readonly<Record<string, number>>): void {
    writeFileAtomic(droppedFile(this.#folder, this.run), JSON.stringify(dropped), 0o600);
  }
}

const droppedFile = (folder: string, run: string): string => path.join(folder, `${run}.dropped.json`);

function syncFolderSoon(folder: string): void {
  const fd = openSync(folder, 'r');
  fsyncSync(fd);
  closeSync(fd);
}

export interface EarlierRun {
  files: RunFiles;
  lastSeq: number;
  dropped: Record<string, number>;
}

/** How large files get, so that giving one up never costs more than an eighth of the limit. */
export const fileBytesFor = (maxBytes: number): number => Math.min(FILE_BYTES, Math.max(8192, Math.floor(maxBytes / 8)));

/** What earlier processes left, oldest first. */
export function findEarlierRuns(folder: string, maxBytes: number): EarlierRun[] {
  if (!existsSync(folder)) return [];
  const byRun = new Map<string, { index: number; file: string; mtimeMs: number }[]>();
  for (const name of readdirSync(folder)) {
    const match = NAME.exec(name);
    const run = match?.[1];
    if (run === undefined || !RUN_PATTERN.test(run)) continue;
    const file = path.join(folder, name);
    byRun.set(run, [...(byRun.get(run) ?? []), { index: Number(match?.[2]), file, mtimeMs: statSync(file).mtimeMs }]);
  }
  const runs = [...byRun].map(([run, files]) => ({ run, files: files.sort((a, b) => a.index - b.index), oldestMs: Math.min(...files.map(({ mtimeMs }) => mtimeMs)) }));
  return runs
    .sort((a, b) => a.oldestMs - b.oldestMs)
    .flatMap(({ run, files }) => {
      const spilled = files.flatMap(({ file }): SpillFile[] => {
        const text = readFileSync(file, 'utf8');
        const entries = decodeLines(text);
        const first = entries[0];
        const last = entries.at(-1);
        if (first !== undefined && last !== undefined) return [{ file, firstSeq: first.seq, lastSeq: last.seq, count: entries.length, bytes: Buffer.byteLength(text) }];
        rmSync(file, { force: true });
        return [];
      });
      if (spilled.length === 0) return [];
      let dropped: Record<string, number> = {};
      try {
        dropped = JSON.parse(readFileSync(droppedFile(folder, run), 'utf8')) as Record<string, number>;
      } catch {
        dropped = {};
      }
      return [{ files: new RunFiles(folder, run, fileBytesFor(maxBytes), spilled, (files.at(-1)?.index ?? 0) + 1), lastSeq: spilled.at(-1)?.lastSeq ?? 0, dropped }];
    });
}
