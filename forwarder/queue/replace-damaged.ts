/**
 * Replaces a damaged queue file: everything that can still be read is copied into a new file, row by row, and the damaged one is kept
 * unchanged under a dated name. This is safe against a power cut at any instant: the new file is complete before the damaged one is
 * renamed, and the next start finishes the replacement.
 *
 * Sources, in this order: the file with every frame of its log that can be verified; if something is missing there, the file with all
 * frames (a row in a page with one flipped byte may be whole), and the file as SQLite reads it. The newest state of these counts what was
 * accepted. A reading has one state afterwards: what any source records as shipped or evicted does not come back as a row of another one. A
 * row that was shipped in a commit that is lost does, and is shipped again.
 */
import { closeSync, existsSync, openSync, readdirSync, readSync, renameSync } from 'node:fs';
import path from 'node:path';
import { syncFolder } from '../../service/storage/data-dir.ts';
import { openDatabase, type Database } from '../../service/storage/sqlite.ts';
import { isOfTheDisk, type PassesOver } from './disk-trouble.ts';
import { addTo, damageText, type LedgerState } from './ledger.ts';
import type { RunWatermark } from './queue-messages.ts';
import { readableRows } from './readable-rows.ts';
import { addOlder, readableAudit, salvageAudit, type ReadableAudit } from './salvaged-audit.ts';
import { salvagedLedger, salvageText } from './salvaged-ledger.ts';
import { SettledSeqs } from './settled-seqs.ts';
import {
  deadChecksum,
  insertDead,
  insertRows,
  readState,
  rowChecksum,
  watermarksOfVersion1,
  writeState,
  type StoredDead,
  type StoredRow,
} from './stored-rows.ts';
import { removeSecondName, salvageLog } from './wal-salvage.ts';
import { watermarkKey } from './watermark-key.ts';
import { insertWatermarks, queueIdOf, salvageWatermarks, setQueueId } from './watermarks.ts';

const REPLACEMENT = /^queue\.replacement-(.+)\.db$/;
/** Rows per transaction of the new file, which has no name yet: only memory and speed depend on it. */
const COPY_ROWS = 5000;
/**
 * So many commits a log may have held that is missing as a whole: it is written back at this many pages, and each commit writes at least
 * one. Nothing closer is known: how many there were is recorded in the log alone. While another process kept it from being written back
 * (log-pin.ts) there may have been more; docs/queue.md says so.
 */
const LOST_LOG_COMMITS = 1000;

/** Leaves one row of each seq of a run. */
const REMOVE_SECOND = `DELETE FROM rows WHERE id IN (SELECT id FROM
  (SELECT id, row_number() OVER (PARTITION BY run, seq ORDER BY id) AS place FROM rows WHERE run IS NOT NULL) WHERE place > 1)`;

/** Dead letters of numbered readings, the first one of each reading first. */
const NUMBERED_LETTERS = `SELECT id, gateway, run, seq, reason, payload FROM dead
  WHERE gateway IS NOT NULL AND run IS NOT NULL AND seq IS NOT NULL ORDER BY id`;
type NumberedLetter = Pick<StoredDead, 'id' | 'reason' | 'payload'> & { gateway: string; run: string; seq: number };

const asideName = (stamp: string): string => `queue.damaged-${stamp}.db`;

/** What this process knows of the file that it has had open: exact, whatever happened to the file. */
export interface LastKnown {
  ledger: LedgerState;
  watermarks: readonly RunWatermark[];
  queueId: string;
}

export interface Damage {
  reason: string;
  /** The log is missing, so nobody knows what it held. */
  isLogLost: boolean;
}

export interface ReplaceOptions {
  gateway: string;
  /** If the file was open in this process. Its rows then get new ids, above all that it has used. */
  known?: LastKnown | undefined;
  /** Pages that the disk does not return are lost. Otherwise they are an error of the disk, and nothing is replaced. */
  isUnreadableDamaged: boolean;
  createFile: (file: string, fill: (database: Database) => void) => void;
}

/** What the sources hold, beside the rows and dead letters that are copied on the way. */
interface Salvaged {
  state: LedgerState | undefined;
  watermarks: Map<string, RunWatermark>;
  audit: ReadableAudit;
  queueId: string | undefined;
  /** Commits whose effect is not known, even in number. */
  commitsUnknown: number;
}

/** Copies what is whole into the new file. */
class Copier {
  readonly #database: Database;
  readonly #insertRow: ReturnType<typeof insertRows>;
  readonly #insertDead: ReturnType<typeof insertDead>;
  readonly #dataOf;
  readonly #payloadOf;
  readonly #idOffset: number;
  /**
   * Rows and letters whose number another one has, by their text: in a page whose cells are overwritten, an id may be any number. They get
   * new numbers at the end.
   */
  readonly #displacedRows = new Map<string, StoredRow>();
  readonly #displacedDead = new Map<string, StoredDead>();
  #inTransaction = 0;
  #sources = 0;
  #settled: SettledSeqs | undefined;
  #rows = 0;
  dead = 0;
  deadBytes = 0;
  readonly deadBy: Record<string, number> = {};
  lastRowId = 0;

  constructor(database: Database, idOffset: number) {
    this.#database = database;
    this.#insertRow = insertRows(database);
    this.#insertDead = insertDead(database);
    this.#dataOf = database.prepare('SELECT data FROM rows WHERE id = ?').pluck();
    this.#payloadOf = database.prepare('SELECT payload FROM dead WHERE id = ?').pluck();
    this.#idOffset = idOffset;
  }

  /** `settled`: what this source and those before it say. */
  copy(source: Database, settled: SettledSeqs, passesOver: PassesOver): void {
    this.#sources += 1;
    this.#settled = settled;
    const isWholeRow = (row: StoredRow): boolean => isWhole(row, rowChecksum);
    for (const row of readableRows(source, 'rows', isWholeRow, passesOver)) this.#row(row);
    const isWholeLetter = (letter: StoredDead): boolean => isWhole(letter, deadChecksum);
    for (const letter of readableRows(source, 'dead', isWholeLetter, passesOver)) this.#letter(letter);
    this.#commit();
  }

  #row(row: StoredRow): void {
    const { run = null, seq = null } = row;
    if (run !== null && seq !== null && this.#settled?.isFinal(run, seq) === true) return;
    const id = row.id + this.#idOffset;
    const isId = id > 0 && Number.isSafeInteger(id);
    const there = isId ? this.#dataOf.get(id) : undefined;
    if (there === row.data) return;
    if (isId && there === undefined) this.#addRow({ ...row, id });
    else this.#displacedRows.set(row.data, row);
  }

  #addRow(row: StoredRow): void {
    this.#write(() => this.#insertRow(row));
    this.#rows += 1;
    this.lastRowId = Math.max(this.lastRowId, row.id);
  }

  #letter(letter: StoredDead): void {
    const there = this.#payloadOf.get(letter.id);
    if (there === letter.payload) return;
    if (there === undefined) this.#addLetter(letter);
    else this.#displacedDead.set(letter.payload, letter);
  }

  #addLetter(letter: Omit<StoredDead, 'id'> & { id?: number }): void {
    this.#write(() => this.#insertDead(letter));
    this.dead += 1;
    this.deadBytes += Buffer.byteLength(letter.payload);
    addTo(this.deadBy, letter.reason, 1);
  }

  get rows(): number {
    return this.#rows + this.#displacedRows.size;
  }

  /** Call once, after all sources. */
  finish(): void {
    for (const row of this.#displacedRows.values()) this.#addRow({ ...row, id: this.lastRowId + 1 });
    this.#displacedRows.clear();
    for (const { id: _, ...letter } of this.#displacedDead.values()) this.#addLetter(letter);
    this.#displacedDead.clear();
    this.#commit();
    // One source may have a wrong id for a row that another one has in its place.
    if (this.#sources > 1) this.#rows -= this.#database.prepare(REMOVE_SECOND).run().changes;
    if (this.dead > 0) this.#database.transaction(() => this.#removeSecondStates())();
  }

  /**
   * Leaves one of a reading's row and its dead letters: the letter if a span says that it is dead. Otherwise the row: what the stream
   * refuses becomes a dead letter again.
   */
  #removeSecondStates(): void {
    const settled = this.#settled;
    if (settled === undefined) return;
    const letters = new Map<string, NumberedLetter>();
    for (const letter of this.#database.prepare<[], NumberedLetter>(NUMBERED_LETTERS).all()) {
      const run = settled.numberOf(letter.gateway, letter.run);
      if (run === undefined) continue;
      const key = `${run}/${letter.seq}`;
      if (letters.has(key) || settled.isFinal(run, letter.seq)) this.#removeLetter(letter);
      else letters.set(key, letter);
    }
    if (letters.size === 0) return;
    const rowsOfDead: number[] = [];
    const rows = this.#database.prepare<[], Required<Pick<StoredRow, 'id' | 'run' | 'seq'>>>(
      'SELECT id, run, seq FROM rows WHERE run IS NOT NULL',
    );
    const retried: NumberedLetter[] = [];
    for (const { id, run, seq } of rows.iterate()) {
      const letter = letters.get(`${run ?? 0}/${seq ?? 0}`);
      if (letter === undefined) continue;
      if (settled.isDead(run ?? 0, letter.seq)) rowsOfDead.push(id);
      else retried.push(letter);
    }
    const removeRow = this.#database.prepare('DELETE FROM rows WHERE id = ?');
    for (const id of rowsOfDead) this.#rows -= removeRow.run(id).changes;
    for (const letter of retried) this.#removeLetter(letter);
  }

  #removeLetter({ id, reason, payload }: NumberedLetter): void {
    this.dead -= this.#database.prepare('DELETE FROM dead WHERE id = ?').run(id).changes;
    this.deadBytes -= Buffer.byteLength(payload);
    addTo(this.deadBy, reason, -1);
  }

  #write(insert: () => void): void {
    if (this.#inTransaction === 0) this.#database.exec('BEGIN');
    insert();
    this.#inTransaction += 1;
    if (this.#inTransaction >= COPY_ROWS) this.#commit();
  }

  #commit(): void {
    if (this.#inTransaction > 0) this.#database.exec('COMMIT');
    this.#inTransaction = 0;
  }
}

/** A damaged page may hold values of any type. */
function isWhole<Row extends { crc: number }>(row: Row, checksum: (row: Row) => number): boolean {
  try {
    return checksum(row) === row.crc;
  } catch {
    return false;
  }
}

/** What can be read, or undefined. Throws what `passesOver` throws. */
function ifReadable<T>(read: () => T, passesOver: PassesOver): T | undefined {
  try {
    return read();
  } catch (error) {
    passesOver(error);
    return undefined;
  }
}

/** The later of two states of one file: what was accepted never decreases, and no id is used twice. */
const newer = (a: LedgerState | undefined, b: LedgerState | undefined): LedgerState | undefined =>
  a === undefined || (b !== undefined && (b.accepted > a.accepted || (b.accepted === a.accepted && b.nextRowId >= a.nextRowId)))
    ? b
    : a;

function readHead(database: Database, gateway: string, salvaged: Salvaged, passesOver: PassesOver): void {
  const version: unknown = database.pragma('user_version', { simple: true });
  salvaged.state = newer(
    salvaged.state,
    ifReadable(() => readState(database), passesOver),
  );
  salvaged.queueId ??= ifReadable(() => queueIdOf(database), passesOver);
  addOlder(salvaged.audit, readableAudit(database, passesOver));
  const watermarks = version === 1 ? watermarksOfVersion1(database, gateway) : salvageWatermarks(database, passesOver);
  for (const watermark of watermarks) {
    const key = watermarkKey(watermark);
    if ((salvaged.watermarks.get(key)?.stored ?? -1) < watermark.stored) salvaged.watermarks.set(key, watermark);
  }
}

/** Reads all that can be read of one source. Throws errors of the new file, and those that a retry may cure. */
function readSource(file: string, gateway: string, copier: Copier, salvaged: Salvaged, passesOver: PassesOver): void {
  if (!existsSync(file)) return;
  // Not a database, or its first pages are damaged: rows may still be found.
  const database = ifReadable(() => openDatabase(file, { readonly: true, fileMustExist: true }), passesOver);
  if (database === undefined) return;
  try {
    ifReadable(() => readHead(database, gateway, salvaged, passesOver), passesOver);
    copier.copy(database, new SettledSeqs(salvaged.audit, salvaged.state), passesOver);
  } finally {
    database.close();
  }
}

const isComplete = ({ state }: Salvaged, { rows, dead }: Copier): boolean => state?.queued === rows && state.dead === dead;

function salvage(file: string, { gateway, isUnreadableDamaged }: ReplaceOptions, copier: Copier): Salvaged {
  const passesOver = (error: unknown): void => {
    if (isOfTheDisk(error, isUnreadableDamaged)) throw error;
  };
  const salvaged: Salvaged = {
    state: undefined,
    watermarks: new Map(),
    audit: { runs: [], spans: [] },
    queueId: undefined,
    commitsUnknown: 0,
  };
  try {
    for (const which of ['verified', 'all'] as const) {
      if (!existsSync(file) || !existsSync(`${file}-wal`)) break;
      const log = salvageLog(file, which);
      if (log === undefined) break;
      salvaged.commitsUnknown = log.commitsUnknown;
      if (log.file === undefined) continue;
      readSource(log.file, gateway, copier, salvaged, passesOver);
      if (isComplete(salvaged, copier)) return salvaged;
    }
  } finally {
    removeSecondName(file);
  }
  readSource(file, gateway, copier, salvaged, passesOver);
  return salvaged;
}

/** Reads a file and its log once. Throws what the disk reports: a page that it does not return now may be there later. */
export function readThrough(file: string): void {
  const chunk = Buffer.alloc(1024 * 1024);
  for (const ending of ['', '-wal']) {
    if (!existsSync(file + ending)) continue;
    const fd = openSync(file + ending, 'r');
    try {
      for (let at = 0, read = 1; read > 0; at += read) read = readSync(fd, chunk, 0, chunk.length, at);
    } finally {
      closeSync(fd);
    }
  }
}

/** Writes the replacement, then moves it into the damaged file's place. Throws errors of the disk; then nothing has changed. */
export function replaceDamaged(file: string, damage: Damage, options: ReplaceOptions): void {
  const { known, createFile } = options;
  const stamp = new Date().toISOString().replaceAll(/[:.]/g, '-');
  createFile(path.join(path.dirname(file), `queue.replacement-${stamp}.db`), (database) => {
    const copier = new Copier(database, known === undefined ? 0 : known.ledger.nextRowId);
    const salvaged = salvage(file, options, copier);
    copier.finish();
    // What could not be read because of the disk is not lost: the replacement gets no name then.
    if (!options.isUnreadableDamaged) readThrough(file);
    if (known !== undefined) {
      salvaged.state = structuredClone(known.ledger);
      salvaged.watermarks = new Map(known.watermarks.map((watermark) => [watermarkKey(watermark), watermark]));
      salvaged.queueId = known.queueId;
      salvaged.commitsUnknown = 0;
    }
    const isLogLost = damage.isLogLost && known === undefined;
    const { rows, dead, deadBytes, deadBy, lastRowId } = copier;
    const commitsUnknown = isLogLost ? LOST_LOG_COMMITS : salvaged.commitsUnknown;
    const counts = { known: salvaged.state, commitsUnknown, rows, dead, deadBytes, deadBy, lastRowId };
    const { state, lost } = salvagedLedger(counts);
    database.transaction(() => {
      insertWatermarks(database, [...salvaged.watermarks.values()], Date.now());
      const { audit, unclear } = salvageAudit(database, salvaged.audit, state, lost);
      const text = salvageText(counts, lost, unclear);
      writeState(database, {
        ...state,
        audit,
        damage: damageText(`${damage.reason}; put aside as ${asideName(stamp)}; ${text}`),
      });
      if (salvaged.queueId !== undefined) setQueueId(database, salvaged.queueId);
    })();
  });
  finishReplacement(file);
}

/** Moves a complete replacement into its place, if there is one. */
export function finishReplacement(file: string): void {
  const folder = path.dirname(file);
  for (const name of readdirSync(folder)) {
    const stamp = REPLACEMENT.exec(name)?.[1];
    if (stamp === undefined) continue;
    const aside = path.join(folder, asideName(stamp));
    for (const ending of ['-wal', '-shm', '']) if (existsSync(file + ending)) renameSync(file + ending, aside + ending);
    // The old log must be gone, durably, before a new file appears that SQLite would apply it to.
    syncFolder(folder);
    renameSync(path.join(folder, name), file);
    syncFolder(folder);
  }
}
