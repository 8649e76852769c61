/**
 * Finds the runs that earlier processes left in the outbox's folder. Reads asynchronously and in pieces: the event loop is never blocked,
 * and the readings of a run can be delivered before the next run has been read. What cannot be read now is tried again with backoff.
 */
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemCodeOf } from '../service/errors/errors.ts';
import { DiskRetry, type DiskOperation, type DiskTrouble } from './disk-retry.ts';
import { decodeDroppedRecord, type DroppedRecord, type DroppedSpan } from './dropped-seqs.ts';
import { parseMark } from './eviction-marks.ts';
import { readFully, reading, type SpillDisk } from './spill-disk.ts';
import { hasOnlyBeginning, readEvicted, readGateway, summarise, type FileSummary, type SpillFile } from './spill-file.ts';
import { droppedFile, fileBytesFor, RunFiles, setAside } from './spill-files.ts';

const NAME = /^([0-9a-f]{16})-(\d{8})\.spill$/;
const DROPPED_NAME = /^([0-9a-f]{16})\.dropped\.json$/;
const DROPPED_MAX_BYTES = 4 * 1024 * 1024;
const RETRY_MIN_MS = 1000;
const RETRY_MAX_MS = 30_000;

export interface EarlierRunsOptions {
  disk: SpillDisk;
  folder: string;
  /** Name of this box, for files that do not say whose they are. */
  gateway: string;
  /** Limit of the whole outbox on disk. */
  maxBytes: number;
  /** A file operation failed; it is tried again. */
  onDiskError?: (operation: DiskOperation, error: unknown) => void;
  /** A damaged file was renamed and is kept. */
  onSetAside?: (file: string, bytes: number) => void;
  /** For tests. */
  retryMs?: number | undefined;
  salvageAfterMs?: number | undefined;
}

export interface EarlierRun {
  files: RunFiles;
  /** Seq of the oldest reading on disk. */
  firstSeq: number;
  lastSeq: number;
  /** undefined: the files are of 1.0.0. */
  mayHaveSent: number | undefined;
  dropped: DroppedRecord;
}

interface ListedFile {
  index: number;
  file: string;
  bytes: number;
  modifiedAtMs: number;
}
interface ListedRun {
  run: string;
  /** Ascending by index; none if only the record of dropped readings is left. */
  files: ListedFile[];
  /** Empty files whose names say what was evicted. */
  marks: string[];
  evicted: DroppedSpan[];
}

interface ReadFile extends FileSummary {
  listed: ListedFile;
}

const NOTHING_DROPPED: DroppedRecord = { counts: {}, spans: [] };

export class EarlierRuns {
  readonly #options: EarlierRunsOptions;
  readonly #retry: DiskRetry;
  #listed: ListedRun[] | undefined;

  constructor(options: EarlierRunsOptions) {
    this.#options = options;
    this.#retry = new DiskRetry('read', options.retryMs ?? RETRY_MIN_MS, options.retryMs ?? RETRY_MAX_MS);
  }

  /** Why files cannot be read at present; undefined if all were. */
  get trouble(): DiskTrouble | undefined {
    return this.#retry.trouble;
  }

  #failed(error: unknown): void {
    this.#retry.failed(error, performance.now());
    this.#options.onDiskError?.('read', error);
  }

  /** Lists the files, and returns the names of the boxes that they are of, as far as the disk lets them be read now. Never throws. */
  async list(): Promise<Set<string>> {
    const gateways = new Set<string>();
    try {
      this.#listed = await this.#listRuns();
    } catch (error) {
      this.#failed(error);
      return gateways;
    }
    for (const { files } of this.#listed)
      try {
        const [first] = files;
        if (first !== undefined) gateways.add((await readGateway(this.#options.disk, first.file)) ?? this.#options.gateway);
      } catch (error) {
        this.#failed(error);
      }
    return gateways;
  }

  /** The runs, oldest first; one that cannot be read yet comes later. Ends when all are read, or when `signal` says so. */
  async *read(signal?: AbortSignal): AsyncGenerator<EarlierRun> {
    while (signal?.aborted !== true) {
      yield* this.#readOnce(signal);
      if (this.#listed?.length === 0) return this.#retry.succeeded();
      await sleep(this.#retry.delayMs, undefined, signal === undefined ? {} : { signal }).catch(() => undefined);
    }
  }

  async *#readOnce(signal: AbortSignal | undefined): AsyncGenerator<EarlierRun> {
    const failed: ListedRun[] = [];
    try {
      this.#listed ??= await this.#listRuns();
    } catch (error) {
      this.#failed(error);
      return;
    }
    for (let next = this.#listed.shift(); next !== undefined && signal?.aborted !== true; next = this.#listed.shift())
      try {
        const run = await this.#readRun(next);
        if (run !== undefined) yield run;
      } catch (error) {
        this.#failed(error);
        failed.push(next);
      }
    this.#listed = failed;
  }

  async #listRuns(): Promise<ListedRun[]> {
    const { disk, folder } = this.#options;
    const byRun = new Map<string, ListedRun>();
    const listed = (run: string): ListedRun => {
      const known = byRun.get(run) ?? { run, files: [], marks: [], evicted: [] };
      byRun.set(run, known);
      return known;
    };
    const names = await disk.list(folder);
    for (const name of names) {
      const droppedOf = DROPPED_NAME.exec(name)?.[1];
      if (droppedOf !== undefined) listed(droppedOf);
      const mark = parseMark(name);
      const match = NAME.exec(mark?.of ?? name);
      const run = match?.[1];
      if (run === undefined) continue;
      const file = path.join(folder, name);
      const { bytes, modifiedAtMs } = await disk.stat(file);
      if (mark === undefined || bytes > 0) listed(run).files.push({ index: Number(match?.[2]), file, bytes, modifiedAtMs });
      else {
        listed(run).marks.push(file);
        // A damaged file is set aside after its mark was made.
        if (!names.includes(mark.of)) listed(run).evicted.push({ from: mark.from, to: mark.to, cause: 'outbox_full' });
      }
    }
    const oldestMs = ({ files }: ListedRun): number =>
      files.reduce((oldest, { modifiedAtMs }) => Math.min(oldest, modifiedAtMs), Number.MAX_SAFE_INTEGER);
    return [...byRun.values()]
      .map((run) => ({ ...run, files: run.files.sort((a, b) => a.index - b.index) }))
      .sort((a, b) => oldestMs(a) - oldestMs(b));
  }

  async #readRun({ run, files, ...named }: ListedRun): Promise<EarlierRun | undefined> {
    const { disk, folder, maxBytes, gateway } = this.#options;
    const read: ReadFile[] = [];
    const marks = [...named.marks];
    const evicted = [...named.evicted];
    for (const listed of files) {
      const span = await readEvicted(disk, listed.file);
      if (span !== undefined) {
        marks.push(listed.file);
        evicted.push({ ...span, cause: 'outbox_full' });
        continue;
      }
      const summary = await summarise(disk, listed.file, listed.bytes);
      if (summary === undefined) await this.#removeUnrecognised(listed, listed === files.at(-1));
      else read.push({ ...summary, listed });
    }
    const recorded = await this.#readDropped(run);
    const dropped = { ...recorded, spans: [...recorded.spans, ...evicted] };
    const spillFiles = chained(read);
    const [first] = spillFiles;
    if (first === undefined && dropped.spans.length === 0) {
      for (const mark of marks) await this.#remove(mark);
      await this.#remove(droppedFile(folder, run));
      return undefined;
    }
    const known = read.flatMap(({ mayHaveSent }) => mayHaveSent ?? []);
    const lastDropped = Math.max(0, ...dropped.spans.map(({ to }) => to));
    const lastSeq = Math.max(lastDropped, ...spillFiles.map((file) => file.lastSeq));
    return {
      files: new RunFiles({
        disk,
        folder,
        run,
        gateway: read.find((file) => file.gateway !== undefined)?.gateway ?? gateway,
        fileBytes: fileBytesFor(maxBytes),
        existing: spillFiles,
        marks,
        nextIndex: (files.at(-1)?.index ?? 0) + 1,
        onSetAside: this.#options.onSetAside,
        salvageAfterMs: this.#options.salvageAfterMs,
      }),
      firstSeq: first?.firstSeq ?? lastSeq + 1,
      lastSeq,
      mayHaveSent: known.length === 0 ? undefined : Math.max(...known),
      dropped,
    };
  }

  /** A file that does not say what it held: one that never held a reading is removed, another one is set aside. */
  async #removeUnrecognised({ file, bytes }: ListedFile, isLast: boolean): Promise<void> {
    const { disk, onSetAside } = this.#options;
    if (bytes === 0 || (isLast && (await hasOnlyBeginning(disk, file, bytes)))) return await this.#remove(file);
    try {
      onSetAside?.(await setAside(disk, file), bytes);
    } catch (error) {
      // It stays under its name until the next start: the other files of its run do not wait for it.
      this.#options.onDiskError?.('remove', error);
    }
  }

  async #remove(file: string): Promise<void> {
    try {
      await this.#options.disk.remove(file);
    } catch (error) {
      // Nothing is in it: it may stay until the next start.
      this.#options.onDiskError?.('remove', error);
    }
  }

  async #readDropped(run: string): Promise<DroppedRecord> {
    const { disk, folder } = this.#options;
    const file = droppedFile(folder, run);
    try {
      const bytes = await reading(disk, file, async (handle) => await readFully(handle, DROPPED_MAX_BYTES, 0));
      return decodeDroppedRecord(bytes.toString()) ?? NOTHING_DROPPED;
    } catch (error) {
      if (systemCodeOf(error) === 'ENOENT') return NOTHING_DROPPED;
      throw error;
    }
  }
}

/** Files of a run in order. What a file should hold shows also in the header of the next one. */
function chained(read: readonly ReadFile[]): SpillFile[] {
  return read.map((summary, at) => {
    const { lastSeq, count, confirmedTo, listed } = summary;
    const { file, bytes, index } = listed;
    const [before, next] = [read[at - 1], read[at + 1]];
    // Without that header: nothing is missing between files that follow each other. If the last one has lost its beginning to a power
    // cut, what is missing was in it.
    const isCutShort = (other: ReadFile | undefined): boolean => other?.prev === undefined && other?.confirmedTo === 0;
    const isNext = next?.listed.index === index + 1 && !isCutShort(next);
    const heldTo = next?.prev ?? (isNext && next.prev === undefined ? Math.max(lastSeq, next.firstSeq - 1) : lastSeq);
    const followsAt = before?.listed.index === index - 1 && isCutShort(summary) ? before.lastSeq + 1 : summary.firstSeq;
    const firstSeq = Math.min(summary.firstSeq, followsAt);
    const lastSeqHeld = Math.max(firstSeq - 1, heldTo);
    // A file that another one follows was synced.
    const known = next === undefined ? confirmedTo : Number.POSITIVE_INFINITY;
    return { file, firstSeq, lastSeq: lastSeqHeld, count, bytes, isDamaged: false, confirmedTo: known };
  });
}

/** All runs in a folder, for tests and tools. Rejects if the disk fails. */
export async function findEarlierRuns(options: EarlierRunsOptions): Promise<EarlierRun[]> {
  const runs: EarlierRun[] = [];
  const onDiskError = (_: string, error: unknown): void => {
    throw error;
  };
  for await (const run of new EarlierRuns({ ...options, onDiskError }).read()) runs.push(run);
  return runs;
}
