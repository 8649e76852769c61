/**
 * The tables of the queue's file: `rows` (readings to ship), `dead` (dead letters), `state` (the ledger, one row with a checksum),
 * `watermarks` (a row for each run), `runs` and `spans` (what became of each seq), `accounts` (what of that was reported in the stream),
 * `meta` (the identity of the file). Migrations are
 * numbered and run forward only; a file of a newer version is refused and left unchanged.
 */
import type { Database } from '../../service/storage/sqlite.ts';
import { CREATE_ACCOUNTS } from './account-cursors.ts';
import { countEarlierRuns } from './earlier-runs.ts';
import { CREATE_SPANS } from './run-spans.ts';
import { CREATE_RUNS } from './run-table.ts';
import { addDeadColumns, moveWatermarksToRows } from './stored-rows.ts';
import { CREATE_WATERMARKS } from './watermarks.ts';

/** A commit of one reading writes 6.2 kB, instead of 12.3 kB with SQLite's default of 4096 (measured). */
export const PAGE_BYTES = 1024;

/** What a migration may need to know about the box. */
export interface MigrationContext {
  /** Name of this box: whose sequencers a file of version 1 served. */
  gateway: string;
}

type Migration = string | ((database: Database, context: MigrationContext) => void);

const MIGRATIONS: readonly Migration[] = [
  `CREATE TABLE rows (id INTEGER PRIMARY KEY, accepted_ms INTEGER NOT NULL, source INTEGER NOT NULL, device TEXT NOT NULL,
     data TEXT NOT NULL, crc INTEGER NOT NULL);
   CREATE TABLE dead (id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL,
     device TEXT NOT NULL, run TEXT, seq INTEGER, bytes INTEGER NOT NULL, payload TEXT NOT NULL, whole INTEGER NOT NULL,
     crc INTEGER NOT NULL);
   CREATE TABLE state (id INTEGER PRIMARY KEY, json TEXT NOT NULL, crc INTEGER NOT NULL);`,
  (database, { gateway }) => {
    database.exec(CREATE_WATERMARKS);
    moveWatermarksToRows(database, gateway);
  },
  // Dead letters keep what another client published, whole, so that it can be adopted again.
  addDeadColumns,
  // Rows name their run by its number, so that deleting them tells what became of which seqs.
  (database) => {
    database.exec(
      `ALTER TABLE rows ADD COLUMN run INTEGER; ALTER TABLE rows ADD COLUMN seq INTEGER; ${CREATE_RUNS} ${CREATE_SPANS}`,
    );
    countEarlierRuns(database, Date.now());
  },
  // Accounts travel with rows; the table knows what of each run was reported.
  `ALTER TABLE rows ADD COLUMN account TEXT; ${CREATE_ACCOUNTS}`,
];
export const SCHEMA_VERSION = MIGRATIONS.length;

/**
 * Migrates an open database to the newest version, each step completely or not at all. Throws NewerSchemaError if its version is newer.
 * `migrations`: for tests.
 */
export function migrate(
  database: Database,
  migrations: readonly Migration[] = MIGRATIONS,
  context: MigrationContext = { gateway: '' },
): void {
  const version = database.pragma('user_version', { simple: true }) as number;
  if (version > migrations.length) throw new NewerSchemaError(version, migrations.length);
  for (const [index, migration] of migrations.entries())
    if (index >= version)
      database.transaction(() => {
        if (typeof migration === 'string') database.exec(migration);
        else migration(database, context);
        database.pragma(`user_version = ${index + 1}`);
      })();
}

export class NewerSchemaError extends Error {
  constructor(version: number, known: number = SCHEMA_VERSION) {
    super(`the queue has version ${version}, this program supports up to ${known}`);
  }
}
