/**
 * The queue's file: rows (readings to be shipped), dead (dead letters), state (ledger and marks, one row with a checksum). Migrations
 * are numbered and run forward only; a file of a newer version is refused and left untouched.
 */
import type { Database } from '../../service/storage/sqlite.ts';

/** 6.2 kB to disk for a reading instead of 12.3 with the default of 4096 (facts, better-sqlite3). */
export const PAGE_BYTES = 1024;

const MIGRATIONS: readonly string[] = [
  `CREATE TABLE rows (id INTEGER PRIMARY KEY, accepted_ms INTEGER NOT NULL, source INTEGER NOT NULL, device TEXT NOT NULL, data TEXT NOT NULL, crc INTEGER NOT NULL);
   CREATE TABLE dead (id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL, device TEXT NOT NULL, run TEXT, seq INTEGER, bytes INTEGER NOT NULL, payload TEXT NOT NULL, whole INTEGER NOT NULL, crc INTEGER NOT NULL);
   CREATE TABLE state (id INTEGER PRIMARY KEY, json TEXT NOT NULL, crc INTEGER NOT NULL);`,
];
export const SCHEMA_VERSION = MIGRATIONS.length;

/**
 * Brings an open database to the version that the migrations lead to, each step whole or not at all. Throws where its version is newer.
 * `migrations` is for tests of steps that do not exist yet.
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
    super(`the queue is of version ${version}, this program knows up to ${known}`);
  }
}
