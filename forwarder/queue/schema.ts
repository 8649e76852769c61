/**
 * The tables of the queue's file: `rows` (readings to ship), `dead` (dead letters), `state` (two rows with checksums: the ledger with the
 * newest watermarks, and the watermarks of earlier runs). Migrations are numbered and run forward only; a file of a newer version is
 * refused and left unchanged.
 */
import type { Database } from '../../service/storage/sqlite.ts';

/** A commit of one reading writes 6.2 kB, instead of 12.3 kB with SQLite's default of 4096 (measured). */
export const PAGE_BYTES = 1024;

const MIGRATIONS: readonly string[] = [
  `CREATE TABLE rows (id INTEGER PRIMARY KEY, accepted_ms INTEGER NOT NULL, source INTEGER NOT NULL, device TEXT NOT NULL,
     data TEXT NOT NULL, crc INTEGER NOT NULL);
   CREATE TABLE dead (id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL,
     device TEXT NOT NULL, run TEXT, seq INTEGER, bytes INTEGER NOT NULL, payload TEXT NOT NULL, whole INTEGER NOT NULL,
     crc INTEGER NOT NULL);
   CREATE TABLE state (id INTEGER PRIMARY KEY, json TEXT NOT NULL, crc INTEGER NOT NULL);`,
];
export const SCHEMA_VERSION = MIGRATIONS.length;

/**
 * Migrates an open database to the newest version, each step completely or not at all. Throws NewerSchemaError if its version is newer.
 * `migrations`: for tests.
 */
export function migrate(database: Database, migrations: readonly string[] = MIGRATIONS): void {
  const version = database.pragma('user_version', { simple: true }) as number;
  if (version > migrations.length) throw new NewerSchemaError(version, migrations.length);
  for (const [index, sql] of migrations.entries())
    if (index >= version)
      database.transaction(() => {
        database.exec(sql);
        database.pragma(`user_version = ${index + 1}`);
      })();
}

export class NewerSchemaError extends Error {
  constructor(version: number, known: number = SCHEMA_VERSION) {
    super(`the queue has version ${version}, this program supports up to ${known}`);
  }
}
