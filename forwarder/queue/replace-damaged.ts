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
import { addTo, damageText, emptyLedger, total, type LedgerState } from './ledger.ts';
import type { RunWatermark } from './queue-messages.ts';
import { readableRows } from './readable-rows.ts';
import { addOlder, readableAudit, salvageAudit, type ReadableAudit } from './salvaged-audit.ts';
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
  copy(source: Database, settled: SettledSeqs): void {
    this.#sources += 1;
    this.#settled = settled;
    for (const row of readableRows<StoredRow>(source, 'rows', (one) => isWhole(one, rowChecksum))) this.#row(row);
    for (const letter of readableRows<StoredDead>(source, 'dead', (one) => isWhole(one, deadChecksum))) this.#letter(letter);
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

function stateOf(database: Database): LedgerState | undefined {
  try {
    return readState(database);
  } catch {
    return undefined;
  }
}

/** The later of two states of one file: what was accepted never decreases, and no id is used twice. */
const newer = (a: LedgerState | undefined, b: LedgerState | undefined): LedgerState | undefined =>
  a === undefined || (b !== undefined && (b.accepted > a.accepted || (b.accepted === a.accepted && b.nextRowId >= a.nextRowId)))
    ? b
    : a;

function readHead(database: Database, gateway: string, salvaged: Salvaged): void {
  const version: unknown = database.pragma('user_version', { simple: true });
  salvaged.state = newer(salvaged.state, stateOf(database));
  salvaged.queueId ??= queueIdOf(database);
  addOlder(salvaged.audit, readableAudit(database));
  for (const watermark of version === 1 ? watermarksOfVersion1(database, gateway) : salvageWatermarks(database)) {
    const key = watermarkKey(watermark);
    if ((salvaged.watermarks.get(key)?.stored ?? -1) < watermark.stored) salvaged.watermarks.set(key, watermark);
  }
}

/** Reads all that can be read of one source. Throws only errors of the new file. */
function readSource(file: string, gateway: string, copier: Copier, salvaged: Salvaged): void {
  let database: Database | undefined;
  try {
    try {
      database = openDatabase(file, { readonly: true, fileMustExist: true });
      readHead(database, gateway, salvaged);
    } catch {
      // Not a database, or its first pages are damaged: rows may still be found.
    }
    if (database !== undefined) copier.copy(database, new SettledSeqs(salvaged.audit, salvaged.state));
  } finally {
    database?.close();
  }
}

const isComplete = ({ state }: Salvaged, { rows, dead }: Copier): boolean => state?.queued === rows && state.dead === dead;

function salvage(file: string, { gateway }: ReplaceOptions, copier: Copier): Salvaged {
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
      readSource(log.file, gateway, copier, salvaged);
      if (isComplete(salvaged, copier)) return salvaged;
    }
  } finally {
    removeSecondName(file);
  }
  readSource(file, gateway, copier, salvaged);
  return salvaged;
}

/** The ledger of what was salvaged: readings that the damaged file had accepted and that can no longer be read are evicted (`damaged`). */
function accountOf(salvaged: Salvaged, copier: Copier, { reason, isLogLost }: Damage, aside: string): LedgerState {
  const known = salvaged.state;
  const { rows, dead, deadBytes, deadBy, lastRowId } = copier;
  const state: LedgerState = { ...(known ?? emptyLedger()), queued: rows, dead, deadBytes, deadBy, open: false };
  const lost = state.accepted - state.shipped - rows - dead - total(state.evictedBy);
  if (lost > 0) addTo(state.evictedBy, 'damaged', lost);
  else {
    // Rows that were shipped are back in the queue.
    const again = Math.min(state.shipped, -lost);
    state.shipped -= again;
    state.accepted += -lost - again;
  }
  state.nextRowId = Math.max(state.nextRowId, lastRowId + 1);
  const commits = isLogLost ? LOST_LOG_COMMITS : salvaged.commitsUnknown;
  const unknown = known === undefined ? 'what all commits changed' : `what up to ${commits} commits changed`;
  if (known === undefined || state.commitsLost === null) state.commitsLost = null;
  else if (commits > 0) state.commitsLost = (state.commitsLost ?? 0) + commits;
  const lostText =
    known === undefined || commits > 0 ? `${Math.max(0, lost)} lost; unknown: ${unknown}` : `${Math.max(0, lost)} lost`;
  const counts = `${rows} readings and ${dead} dead letters salvaged, ${lostText}`;
  state.damage = damageText(`${reason}; put aside as ${aside}; ${counts}`);
  return state;
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
    const state = accountOf(salvaged, copier, { ...damage, isLogLost }, asideName(stamp));
    database.transaction(() => {
      insertWatermarks(database, [...salvaged.watermarks.values()], Date.now());
      writeState(database, { ...state, audit: salvageAudit(database, salvaged.audit, state) });
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
