/**
 * What of each run's account was written into the stream: the table `accounts`, a row for each run. Without a row, everything is reported
 * again, which is harmless. Inside the caller's transaction.
 */
import { crc32 } from 'node:zlib';
import type { Database, Statement } from '../../service/storage/sqlite.ts';
import type { RunIdentity } from './queue-messages.ts';
import { watermarkKey } from './watermark-key.ts';

export const CREATE_ACCOUNTS = `
  CREATE TABLE accounts (gateway TEXT NOT NULL, run TEXT NOT NULL, revision INTEGER NOT NULL, shipped_from INTEGER NOT NULL,
    shipped_to INTEGER NOT NULL, counted_to INTEGER NOT NULL, final_to INTEGER NOT NULL, at INTEGER NOT NULL, crc INTEGER NOT NULL,
    PRIMARY KEY (gateway, run)) WITHOUT ROWID;`;

export interface AccountCursor extends RunIdentity {
  /** Of the audit: spans of later revisions are not reported yet. */
  revision: number;
  /** The newest shipped span that was reported. */
  shipped_from: number;
  shipped_to: number;
  /** Seqs up to this one were reported as counted only. */
  counted_to: number;
  /** The last seq of the run as a final account reported it; -1: none did. */
  final_to: number;
  /** The time of the last account of this run. */
  at: number;
}

const checksum = ({ gateway, run, revision, shipped_from, shipped_to, counted_to, final_to, at }: AccountCursor): number =>
  crc32([gateway, run, revision, shipped_from, shipped_to, counted_to, final_to, at].join('\n'));

const unreported = ({ gateway, run }: RunIdentity): AccountCursor => ({
  gateway,
  run,
  revision: -1,
  shipped_from: 0,
  shipped_to: 0,
  counted_to: 0,
  final_to: -1,
  at: 0,
});

export class AccountCursors {
  readonly #select: Statement;
  readonly #upsert: Statement;
  readonly #delete: Statement;
  readonly #deleteExpired: Statement;
  readonly #lastAt: Statement;
  #known = new Map<string, AccountCursor>();

  constructor(database: Database) {
    this.#select = database.prepare('SELECT * FROM accounts WHERE gateway = ? AND run = ?');
    this.#upsert = database.prepare('INSERT OR REPLACE INTO accounts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)');
    this.#delete = database.prepare('DELETE FROM accounts WHERE gateway = ? AND run = ?');
    this.#deleteExpired = database.prepare(
      `DELETE FROM accounts WHERE NOT EXISTS
         (SELECT 1 FROM runs WHERE runs.gateway = accounts.gateway AND runs.run = accounts.run)`,
    );
    this.#lastAt = database.prepare('SELECT coalesce(max(at), 0) FROM accounts').pluck();
  }

  /** The time of the newest account. */
  get lastAt(): number {
    return this.#lastAt.get() as number;
  }

  of(run: RunIdentity): AccountCursor {
    const key = watermarkKey(run);
    let cursor = this.#known.get(key);
    if (cursor === undefined) {
      const stored = this.#select.get(run.gateway, run.run) as (AccountCursor & { crc: number }) | undefined;
      cursor = stored === undefined || checksum(stored) !== stored.crc ? unreported(run) : stored;
      this.#known.set(key, cursor);
    }
    return cursor;
  }

  write(cursor: AccountCursor): void {
    const { gateway, run, revision, shipped_from, shipped_to, counted_to, final_to, at } = cursor;
    this.#upsert.run(gateway, run, revision, shipped_from, shipped_to, counted_to, final_to, at, checksum(cursor));
    this.#known.set(watermarkKey(cursor), cursor);
  }

  /** The run is reported again from its beginning. */
  forget(run: RunIdentity): void {
    this.#delete.run(run.gateway, run.run);
    this.#known.delete(watermarkKey(run));
  }

  /** Removes the rows of runs whose audit has expired. */
  expire(): void {
    this.#deleteExpired.run();
    this.#known.clear();
  }

  rolledBack(): void {
    this.#known.clear();
  }
}
