/**
 * The open queue file: its database, prepared statements, and the ledger as it is committed. Rows change together with ledger and audit
 * here, inside the transaction of `change`.
 */
import type { Database, Statement } from '../../service/storage/sqlite.ts';
import { DeadLetters } from './dead-letters.ts';
import { addTo, imbalance, type LedgerState } from './ledger.ts';
import { LogPin } from './log-pin.ts';
import type { OpenedQueue } from './open-queue.ts';
import type { Append, DeadLetterInput, NumberedRows } from './queue-messages.ts';
import { RunAudit } from './run-audit.ts';
import { SHIPPED, spanCode } from './span-codes.ts';
import { identityIn, insertRows, removeRows, writeState, type StoredDead, type StoredRow } from './stored-rows.ts';
import { StreamAccounts, type StreamAccountsOptions } from './stream-accounts.ts';
import { UNUSED_MAX_MS, Watermarks } from './watermarks.ts';

const DAY_MS = 24 * 3_600_000;

export type Row = Omit<StoredRow, 'crc'>;

export interface FileLimits {
  /** QUEUE_MAX_BYTES. */
  maxBytes: number;
  /** For how long the accounts of closed runs are kept. */
  auditMs: number;
  /** Of spans of a run; fewer in tests. */
  spansMax?: number | undefined;
  accounts: StreamAccountsOptions;
}

/** Rows that came without a number: what their JSON says. */
const numberIn = (data: string): NumberedRows | undefined => {
  const { gateway, run, seq } = identityIn(data);
  return gateway === undefined || run === null || seq === null ? undefined : { gateway, run, first: seq, count: 1 };
};

function idsByCause(causes: ReadonlyMap<number, string>): Map<string, number[]> {
  const groups = new Map<string, number[]>();
  for (const [id, cause] of causes) {
    const group = groups.get(cause);
    if (group === undefined) groups.set(cause, [id]);
    else group.push(id);
  }
  return groups;
}

export class OpenFile {
  readonly database: Database;
  ledger: LedgerState;
  readonly dead: DeadLetters;
  readonly watermarks: Watermarks;
  readonly audit: RunAudit;
  readonly accounts: StreamAccounts;
  readonly pin: LogPin;
  readonly #selectRow: Statement;
  readonly selectRows: Statement;
  readonly #insertRow: ReturnType<typeof insertRows>;
  readonly #removeRows: ReturnType<typeof removeRows>;
  readonly #auditMs: number;
  #expiredAtMs = 0;

  constructor({ database, state }: OpenedQueue, { maxBytes, auditMs, spansMax, accounts }: FileLimits) {
    this.database = database;
    this.ledger = state;
    this.#auditMs = auditMs;
    // A run that has an account has a watermark.
    this.watermarks = new Watermarks(database, Date.now(), Math.max(UNUSED_MAX_MS, auditMs + 2 * DAY_MS));
    this.audit = new RunAudit(database, this.watermarks, spansMax);
    this.accounts = new StreamAccounts(database, this.audit, (work) => this.change(work), accounts);
    this.pin = new LogPin(database);
    this.dead = new DeadLetters(database, maxBytes, this.audit);
    this.#insertRow = insertRows(database);
    this.#removeRows = removeRows(database);
    this.#selectRow = database.prepare('SELECT * FROM rows WHERE id = ?');
    this.selectRows = database.prepare(
      'SELECT id, accepted_ms, source, device, data, crc FROM rows WHERE id > ? ORDER BY id LIMIT ?',
    );
    this.change((next) => {
      this.audit.closeOwn(Date.now());
      this.expireAccounts(next);
    });
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
      this.audit.rolledBack();
      this.dead.rolledBack();
      this.accounts.rolledBack();
      throw error;
    }
    this.watermarks.committed();
    this.accounts.committed();
    this.ledger = next;
  }

  /** Removes the accounts of runs that closed long ago, once a day. */
  expireAccounts(next: LedgerState): void {
    const now = Date.now();
    if (Math.abs(now - this.#expiredAtMs) < DAY_MS) return;
    this.#expiredAtMs = now;
    this.audit.expire(next, now, this.#auditMs);
  }

  addRow(next: LedgerState, row: Omit<Row, 'id'>): void {
    this.#insertRow({ id: next.nextRowId, ...row });
    next.nextRowId += 1;
    next.queued += 1;
  }

  /** Applies a part of a transaction. */
  append(next: LedgerState, { rows, numbered = [], dead, watermarks, missed = [], ended = [] }: Append): void {
    const now = Date.now();
    for (const watermark of watermarks) this.watermarks.move(next, watermark);
    for (const seqs of missed) this.audit.missed(next, seqs);
    let index = 0;
    const add = (count: number, run: number | null, first: number): void => {
      for (const end = index + count; index < end; index += 1)
        this.addRow(next, {
          accepted_ms: now,
          source: rows.sources[index] ?? 0,
          device: rows.devices[index] ?? '',
          data: rows.data[index] ?? '',
          run,
          seq: run === null ? null : first + index - end + count,
        });
    };
    const addNumbered = (part: NumberedRows): void => {
      const { first, count } = part;
      add(count, this.audit.accepted(next, part, first, first + count - 1), first);
    };
    for (const part of numbered) addNumbered(part);
    while (index < rows.data.length) {
      const part = numberIn(rows.data[index] ?? '');
      if (part === undefined) add(1, null, 0);
      else addNumbered(part);
    }
    next.accepted += rows.data.length + dead.length;
    for (const letter of dead) this.dead.add(next, letter);
    for (const run of ended) this.audit.ended(run, Date.now());
  }

  /** Deletes rows that were shipped (empty text) or evicted (the cause). One that does not exist any more is not counted again. */
  settle(next: LedgerState, ids: readonly number[], evicted: string): void {
    if (evicted !== '') this.accounts.notShipped(ids);
    const removed = this.#removeRows(ids);
    next.queued -= removed.count;
    if (evicted === '') next.shipped += removed.count;
    else addTo(next.evictedBy, evicted, removed.count);
    this.audit.removed(next, removed, evicted === '' ? SHIPPED : spanCode('evicted', evicted));
  }

  /** Deletes rows by their causes, as `settle` does. */
  settleAll(next: LedgerState, causes: ReadonlyMap<number, string>): void {
    for (const [cause, ids] of idsByCause(causes)) this.settle(next, ids, cause);
  }

  /** Moves a row to the dead letters, if it still exists. */
  bury(next: LedgerState, rowId: number, letter: Pick<DeadLetterInput, 'reason' | 'detail'>): void {
    const row = this.#selectRow.get(rowId) as Row | undefined;
    if (row === undefined) return;
    this.accounts.notShipped([rowId]);
    next.queued -= this.#removeRows([row.id]).count;
    this.dead.add(next, {
      ...letter,
      device: row.device,
      ...identityIn(row.data),
      bytes: Buffer.byteLength(row.data),
      payload: row.data,
      whole: true,
    });
  }

  /** Moves a dead letter back to the rows, as a reading of this identity. */
  requeue(next: LedgerState, letter: StoredDead, row: Pick<Row, 'device' | 'source' | 'data'>): void {
    const part = numberIn(row.data);
    this.dead.remove(next, { ...letter, gateway: letter.gateway ?? part?.gateway ?? null }, null);
    const run = part === undefined ? null : this.audit.numberOf(next, part);
    this.addRow(next, { accepted_ms: Date.now(), ...row, run, seq: run === null ? null : (part?.first ?? null) });
  }
}
