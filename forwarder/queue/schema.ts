/**
 * The queue's file: rows (readings to be shipped), dead (dead letters), state (ledger and marks, one row with a checksum). Migrations
 * are numbered and run forward only; a file of a newer version is refused and left untouched.
 */
import type { Database } from '../../service/sqlite.ts';

export const SCHEMA_VERSION = 1;
/** 6.2 kB to disk for a reading instead of 12.3 with the default of 4096 (facts, better-sqlite3). */
export const PAGE_BYTES = 1024;

const MIGRATIONS: readonly string[] = [
  `CREATE TABLE rows (id INTEGER PRIMARY KEY, accepted_ms INTEGER NOT NULL, source INTEGER NOT NULL, device TEXT NOT NULL, data TEXT NOT NULL, crc INTEGER NOT NULL);
   CREATE TABLE dead (id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL, device TEXT NOT NULL, run TEXT, seq INTEGER, bytes INTEGER NOT NULL, payload TEXT NOT NULL, whole INTEGER NOT NULL, crc INTEGER NOT NULL);
   CREATE TABLE state (id INTEGER PRIMARY KEY, json TEXT NOT NULL, crc INTEGER NOT NULL);`,
];

/** Brings an open database to this version. Throws where its version is newer. */
export function migrate(database: Database): void {
  const version = database.pragma('user_version', { simple: true }) as number;
  if (version > SCHEMA_VERSION) throw new NewerSchemaError(version);
  for (const [index, sql] of MIGRATIONS.entries())
    if (index >= version)
      database.transaction(() => {
        database.exec(sql);
        database.pragma(`user_version = ${index + 1}`);
      })();
}

export class NewerSchemaError extends Error {
  constructor(version: number) {
    super(`the queue is of version ${version}, this program knows up to ${SCHEMA_VERSION}`);
  }
}
