/**
 * Keeps the cleanup of the queue's thread from removing the log. If that thread ends without an orderly close (it runs out of memory, or
 * something calls `process.exit`), better-sqlite3 closes its connection; the last connection of a file removes the log, and an open file
 * without a log counts as damaged at the next start. The main thread therefore has a read-only connection, which is the last one then
 * and removes nothing: the file is as after a kill.
 *
 * It never reads rows, so it keeps no log from being written back. It is closed before the thread closes the file in order.
 */
import { statSync } from 'node:fs';
import { openDatabase, type Database } from '../../service/storage/sqlite.ts';

export class CloseGuard {
  readonly #file: string;
  #connection: Database | undefined;
  #inode: number | undefined;

  constructor(file: string) {
    this.#file = file;
  }

  /** The queue's thread has the file open. Called again when another file may be in its place. */
  hold(): void {
    try {
      const { ino } = statSync(this.#file);
      if (this.#connection !== undefined && ino === this.#inode) return;
      this.release();
      const connection = openDatabase(this.#file, { readonly: true, fileMustExist: true, timeout: 0 });
      this.#connection = connection;
      this.#inode = ino;
      // Opens the file: a connection alone does not.
      connection.prepare('SELECT count(*) FROM sqlite_master').get();
    } catch {
      // On a disk that fails, or with a lock on the file. Without a guard only such an exit would look like damage.
    }
  }

  release(): void {
    try {
      this.#connection?.close();
    } catch {
      // The file is gone.
    }
    this.#connection = undefined;
  }
}
