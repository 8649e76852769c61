/** The open database of the queue, its prepared statements, and the ledger as it is committed. */
import type { Database, Statement } from '../../service/storage/sqlite.ts';
import { DeadLetters } from './dead-letters.ts';
import { imbalance, type LedgerState } from './ledger.ts';
import type { OpenedQueue } from './open-queue.ts';
import { deleteRows, insertRows, writeState, type StoredRow } from './stored-rows.ts';
import { Watermarks } from './watermarks.ts';

export type Row = Omit<StoredRow, 'crc'>;

export class OpenFile {
  readonly database: Database;
  ledger: LedgerState;
  readonly dead: DeadLetters;
  readonly watermarks: Watermarks;
  readonly insertRow: ReturnType<typeof insertRows>;
  readonly deleteRow: Statement;
  readonly deleteRows: ReturnType<typeof deleteRows>;
  readonly selectRow: Statement;
  readonly selectRows: Statement;

  constructor({ database, state }: OpenedQueue, maxBytes: number) {
    this.database = database;
    this.ledger = state;
    this.dead = new DeadLetters(database, maxBytes);
    this.watermarks = new Watermarks(database);
    this.insertRow = insertRows(database);
    this.deleteRow = database.prepare('DELETE FROM rows WHERE id = ?');
    this.deleteRows = deleteRows(database);
    this.selectRow = database.prepare('SELECT * FROM rows WHERE id = ?');
    this.selectRows = database.prepare(
      'SELECT id, accepted_ms, source, device, data, crc FROM rows WHERE id > ? ORDER BY id LIMIT ?',
    );
  }

  /** Runs `work` and writes the ledger that it changed, in one transaction. If it throws, nothing has changed. */
  change(work: (next: LedgerState) => void): void {
    const next = structuredClone(this.ledger);
    try {
      this.database
        .transaction(() => {
          work(next);
          // A wrong ledger must never be committed.
          const wrong = imbalance(next);
          if (wrong !== undefined) throw new Error(`ledger: ${wrong}`);
          writeState(this.database, next);
        })
        .immediate();
    } catch (error) {
      this.watermarks.rolledBack();
      this.dead.rolledBack();
      throw error;
    }
    this.watermarks.committed();
    this.ledger = next;
  }

  addRow(next: LedgerState, row: Omit<Row, 'id'>): void {
    this.insertRow({ id: next.nextRowId, ...row });
    next.nextRowId += 1;
  }
}
