/** Reads one spill file from disk, in pieces: what it should hold, and then its readings in order. */
import type { NumberedReading } from '../contract/delivery.ts';
import { systemCodeOf } from '../service/errors/errors.ts';
import type { SeqSpan } from './dropped-seqs.ts';
import { readFully, reading, type SpillDisk, type SpillHandle } from './spill-disk.ts';
import {
  decodeControl,
  decodeEvicted,
  decodeLine,
  isBeginningOfFile,
  wholeLines,
  type SpillFooter,
  type SpillHeader,
} from './spill-lines.ts';
import { SpillReader, type LostSpan, type SpillPart } from './spill-reader.ts';

/** Bytes of a file that are read at once. */
const PIECE_BYTES = 256 * 1024;
/** Header and footer are shorter. */
const EDGE_BYTES = 4096;
/** The line that says what is evicted is shorter. */
const EVICTED_BYTES = 256;
/** A disk fails by sectors: what is around an unreadable one is read in units of this. */
const SECTOR_BYTES = 4096;
/** A place that could not be read for this long, while others can, counts as damaged. */
const SALVAGE_AFTER_MS = 600_000;

export interface SpillFile {
  file: string;
  firstSeq: number;
  /** Highest seq that the file should hold. */
  lastSeq: number;
  count: number;
  bytes: number;
  /** Readings that it should hold could not be read, and count as lost. */
  isDamaged: boolean;
  /**
   * Seqs up to here were certainly on disk, because another write followed. Those of the last write of a process that was killed may not
   * have been: it may be cut short.
   */
  confirmedTo: number;
}

interface Piece {
  /** Whole lines; at the end of the file also what is left of a torn one. */
  text: string;
  nextByte: number;
  isLast: boolean;
}

type ReadRange = (handle: SpillHandle, size: number, position: number) => Promise<Buffer>;

async function readPiece(disk: SpillDisk, file: string, byte: number, range: ReadRange = readFully): Promise<Piece> {
  return await reading(disk, file, async (handle) => {
    for (let size = PIECE_BYTES; ; size *= 2) {
      const buffer = await range(handle, size, byte);
      const isLast = buffer.length < size;
      const end = isLast ? buffer.length : buffer.lastIndexOf(0x0a) + 1;
      if (end > 0 || isLast) return { text: buffer.toString('utf8', 0, end), nextByte: byte + end, isLast };
    }
  });
}

/** Reads sector by sector; unreadable ones become zeros. Throws if none can be read: then the disk is gone, not a place on it. */
async function readAround(handle: SpillHandle, size: number, position: number): Promise<Buffer> {
  const sectors: Buffer[] = [];
  let failure: unknown;
  let isAnyRead = false;
  for (let at = 0; at < size; at += SECTOR_BYTES)
    try {
      const sector = await readFully(handle, Math.min(SECTOR_BYTES, size - at), position + at);
      isAnyRead ||= sector.length > 0;
      sectors.push(sector);
      if (sector.length < SECTOR_BYTES) break;
    } catch (error) {
      failure = error;
      sectors.push(Buffer.alloc(Math.min(SECTOR_BYTES, size - at)));
    }
  if (failure !== undefined && !isAnyRead) throw failure;
  return Buffer.concat(sectors);
}

/** What a file of an earlier process should hold. */
export interface FileSummary {
  firstSeq: number;
  lastSeq: number;
  /** Readings that should be there. */
  count: number;
  /** undefined: the file is of 1.0.0. */
  mayHaveSent: number | undefined;
  /** Whose sequencer gave out the numbers; undefined if the file does not say. */
  gateway: string | undefined;
  /** Highest seq in the files before it, as its header says. */
  prev: number | undefined;
  /** Seqs up to here were written before the last write; infinite if the file was closed in order. */
  confirmedTo: number;
}

/** Name of the box in a reading; files name it only since version 1.0.0. */
const gatewayIn = (payload: string): string | undefined => /"gateway":"([a-z0-9-]{1,64})"/.exec(payload)?.[1];

/** The name of the box that a file is of, from its first lines; undefined if they do not say. Throws errors of the disk. */
export async function readGateway(disk: SpillDisk, file: string): Promise<string | undefined> {
  const head = await reading(disk, file, async (handle) => await readFully(handle, EDGE_BYTES, 0));
  for (const { seq, payload } of wholeLines(head.toString())) {
    const control = seq === 0 ? decodeControl(payload) : undefined;
    const gateway = control?.kind === 'header' ? control.header.gateway : gatewayIn(payload);
    if (gateway !== undefined) return gateway;
  }
  return undefined;
}

/** The seqs that were evicted with a file, if its first line says so; undefined: it holds readings. Throws errors of the disk. */
export async function readEvicted(disk: SpillDisk, file: string): Promise<SeqSpan | undefined> {
  const head = await reading(disk, file, async (handle) => await readFully(handle, EVICTED_BYTES, 0));
  return decodeEvicted(head.toString().split('\n')[0] ?? '');
}

/** Whether the first write of a file was cut short within its first line. Throws errors of the disk. */
export async function hasOnlyBeginning(disk: SpillDisk, file: string, bytes: number): Promise<boolean> {
  if (bytes >= EDGE_BYTES) return false;
  return isBeginningOfFile((await reading(disk, file, async (handle) => await readFully(handle, EDGE_BYTES, 0))).toString());
}

/** Header and footer of a file that was closed in order. */
async function readEdges(
  disk: SpillDisk,
  file: string,
  bytes: number,
): Promise<{ header: SpillHeader; footer: SpillFooter } | undefined> {
  const { head, tail } = await reading(disk, file, async (handle) => ({
    head: await readFully(handle, Math.min(EDGE_BYTES, bytes), 0),
    tail: await readFully(handle, Math.min(EDGE_BYTES, bytes), Math.max(0, bytes - EDGE_BYTES)),
  }));
  const lines = tail.toString().split('\n');
  const first = decodeLine(head.toString().split('\n')[0] ?? '');
  const last = lines.at(-1) === '' ? decodeLine(lines.at(-2) ?? '') : undefined;
  const header = first?.seq === 0 ? decodeControl(first.payload) : undefined;
  const footer = last?.seq === 0 ? decodeControl(last.payload) : undefined;
  return header?.kind === 'header' && footer?.kind === 'footer' ? { header: header.header, footer: footer.footer } : undefined;
}

const NO_BLOCK = { from: Number.POSITIVE_INFINITY, to: Number.POSITIVE_INFINITY };

/** Adds up what the lines of a file say that it should hold. */
class SummaryOfLines {
  #firstSeq: number | undefined;
  #lastSeq = 0;
  #mayHaveSent: number | undefined;
  #gateway: string | undefined;
  #prev: number | undefined;
  #readings = 0;
  #lastSeqRead = 0;
  /** Files of format 2 have none: then nothing counts as cut short. */
  #lastBlock = NO_BLOCK;
  #hasControl = false;
  /** The beginning of the file, and with it what says that its first write was the last one, was never synced. */
  #isEmptied = false;

  /** The text at the beginning of the file. */
  begin(text: string): void {
    this.#isEmptied = text.startsWith('\0');
  }

  add({ seq, payload }: NumberedReading): void {
    if (seq === 0) return this.#control(payload);
    this.#expect(seq, seq);
    this.#readings += 1;
    this.#lastSeqRead = Math.max(this.#lastSeqRead, seq);
    this.#gateway ??= gatewayIn(payload);
  }

  #control(payload: string): void {
    this.#hasControl = true;
    const control = decodeControl(payload);
    if (control?.kind === 'header') {
      const { gateway, may_have_sent, prev, first } = control.header;
      if (this.#firstSeq === undefined) this.#prev ??= prev;
      this.#gateway = gateway;
      this.#mayHaveSent = Math.max(this.#mayHaveSent ?? 0, may_have_sent);
      // Its block follows in the same write.
      if (first !== undefined) this.#expectBlock(first, first, Number.POSITIVE_INFINITY);
    } else if (control?.kind === 'block') this.#expectBlock(control.block.from, control.block.to);
    else if (control?.kind === 'footer') {
      this.#expect(control.footer.first, control.footer.last);
      this.#lastBlock = NO_BLOCK;
    }
  }

  #expectBlock(from: number, to: number, endsAt = to): void {
    this.#lastBlock = { from, to: endsAt };
    this.#expect(from, to);
  }

  #expect(from: number, to: number): void {
    this.#firstSeq ??= from;
    this.#lastSeq = Math.max(this.#lastSeq, to);
  }

  get result(): FileSummary | undefined {
    if (this.#firstSeq === undefined) return undefined;
    return {
      firstSeq: this.#firstSeq,
      lastSeq: this.#lastSeq,
      count: this.#readings,
      mayHaveSent: this.#mayHaveSent,
      gateway: this.#gateway,
      prev: this.#prev,
      confirmedTo: this.#confirmedTo,
    };
  }

  get #confirmedTo(): number {
    if (this.#isEmptied && !this.#hasControl) return 0;
    return this.#lastSeqRead > this.#lastBlock.to ? this.#lastBlock.to : this.#lastBlock.from - 1;
  }
}

/**
 * What a file should hold: from its header and footer, or else from all of its lines. undefined if nothing in it says so. Throws errors of
 * the disk.
 */
export async function summarise(disk: SpillDisk, file: string, bytes: number): Promise<FileSummary | undefined> {
  const edges = await readEdges(disk, file, bytes);
  if (edges !== undefined) {
    const { header, footer } = edges;
    const { first: firstSeq, last: lastSeq, count, may_have_sent: mayHaveSent } = footer;
    return {
      firstSeq,
      lastSeq,
      count,
      mayHaveSent,
      gateway: header.gateway,
      prev: header.prev,
      confirmedTo: Number.POSITIVE_INFINITY,
    };
  }
  const summary = new SummaryOfLines();
  for (let byte = 0, isLast = false; !isLast;) {
    const piece = await readPiece(disk, file, byte);
    if (byte === 0) summary.begin(piece.text);
    for (const line of wholeLines(piece.text)) summary.add(line);
    byte = piece.nextByte;
    ({ isLast } = piece);
  }
  return summary.result;
}

/** The place in a file up to which it has been read. */
export class SpillCursor {
  readonly #disk: SpillDisk;
  readonly #file: SpillFile;
  readonly #reader: SpillReader;
  readonly #salvageAfterMs: number;
  #byte = 0;
  /** Size of the file when its end was reached. */
  #endedAtBytes = -1;
  /** Read and not yet taken. */
  #readings: NumberedReading[] = [];
  #lost: LostSpan[] = [];
  #failingSinceMs: number | undefined;
  #isGone = false;
  /** Highest seq that was handed out. */
  takenTo = 0;

  constructor(disk: SpillDisk, file: SpillFile, salvageAfterMs = SALVAGE_AFTER_MS) {
    this.#disk = disk;
    this.#file = file;
    this.#salvageAfterMs = salvageAfterMs;
    this.#reader = new SpillReader(file.firstSeq, file.confirmedTo);
  }

  /**
   * The next readings above a seq, at most `max`, and what is lost; undefined if the file has nothing more. Throws errors of the disk: the
   * next call tries again.
   */
  async next(after: number, max: number): Promise<SpillPart | undefined> {
    for (;;) {
      const part = this.#take(after, max);
      if (part !== undefined) return part;
      const isAtEnd = this.#isGone || this.#byte >= this.#file.bytes || this.#endedAtBytes === this.#file.bytes;
      if (!isAtEnd) await this.#readOn();
      else if (!this.#add(this.#reader.end(this.#file.lastSeq))) return undefined;
    }
  }

  #add({ readings, lost }: SpillPart): boolean {
    this.#readings.push(...readings);
    this.#lost.push(...lost);
    return readings.length + lost.length > 0;
  }

  #take(after: number, max: number): SpillPart | undefined {
    const { lastSeq } = this.#file;
    const lost = this.#lost
      .splice(0)
      .map((span) => ({ ...span, from: Math.max(span.from, after + 1), to: Math.min(span.to, lastSeq) }))
      .filter(({ from, to }) => from <= to);
    if (lost.some(({ cause, isCutShort }) => cause === 'damaged' && !isCutShort)) this.#file.isDamaged = true;
    const first = this.#readings.findIndex(({ seq }) => seq > after);
    this.#readings.splice(0, first < 0 ? this.#readings.length : first);
    // What a failed write left behind the file's last good line is in the next file.
    const readings = this.#readings.splice(0, max).filter(({ seq }) => seq <= lastSeq);
    this.takenTo = readings.at(-1)?.seq ?? this.takenTo;
    return readings.length + lost.length > 0 ? { readings, lost } : undefined;
  }

  async #readOn(): Promise<void> {
    const { file, bytes } = this.#file;
    try {
      const isSalvaging = this.#failingSinceMs !== undefined && performance.now() - this.#failingSinceMs >= this.#salvageAfterMs;
      const piece = await readPiece(this.#disk, file, this.#byte, isSalvaging ? readAround : readFully);
      this.#failingSinceMs = undefined;
      this.#byte = piece.nextByte;
      if (piece.isLast) this.#endedAtBytes = bytes;
      this.#add(this.#reader.read(piece.text));
    } catch (error) {
      // Someone has removed the file: no retry brings it back.
      if (systemCodeOf(error) === 'ENOENT') this.#isGone = true;
      else {
        this.#failingSinceMs ??= performance.now();
        throw error;
      }
    }
  }
}
