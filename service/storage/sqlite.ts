/**
 * The only module that loads SQLite. better-sqlite3 13 needs Node-API 10 (Node 22 and later); version 12 is for Node 20 and aborts the
 * process on Node 24.19 and later. Both are installed (tools/install-sqlite.mjs); the one that matches this Node is loaded.
 */
import { createRequire } from 'node:module';
import type BetterSqlite3 from 'better-sqlite3';

export type Database = BetterSqlite3.Database;
export type Statement = BetterSqlite3.Statement;

const require = createRequire(import.meta.url);
let loaded: typeof BetterSqlite3 | undefined;

/** Opens a database file. Throws what better-sqlite3 throws (`code`: SQLITE_…). */
export function openDatabase(path: string, options: BetterSqlite3.Options = {}): Database {
  loaded ??= require(Number(process.versions.napi) >= 10 ? 'better-sqlite3' : 'better-sqlite3-node20') as typeof BetterSqlite3;
  return new loaded(path, options);
}
