/**
 * Notices another process that reads an old state of the queue's file for a long time: until it ends, the write-ahead log cannot be written
 * back, and grows with every commit. Nothing is evicted for that; the disk's free space is what limits it.
 */
import type { Database } from '../../service/storage/sqlite.ts';
import { checkpoint, walBytes } from './disk-space.ts';
import { holdersText } from './file-holders.ts';
import type { QueueReason } from './queue-mode.ts';

/** SQLite writes a log back at 1 MiB; one large commit may exceed that. */
const GROWN_BYTES = 4 * 1024 * 1024;
/** Writing back is tried this often while it fails: each try reads the whole log. */
const RETRY_MS = 2000;
const AUTOCHECKPOINT_PAGES = 1000;

export class LogPin {
  readonly #database: Database;
  #triedAtMs = Number.NEGATIVE_INFINITY;
  #isPinned = false;
  #reason: QueueReason | null = null;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Why the log grows; null if it does not. */
  get reason(): QueueReason | null {
    return this.#reason;
  }

  /** Writes the log back, unless that was just found to be impossible. */
  checkpoint(): void {
    const now = performance.now();
    if (this.#isPinned && now - this.#triedAtMs < RETRY_MS) return;
    this.#triedAtMs = now;
    this.#set(!checkpoint(this.#database));
  }

  /** To be called after each commit. */
  look(): void {
    if (this.#isPinned || walBytes(this.#database) > GROWN_BYTES) this.checkpoint();
  }

  #set(isPinned: boolean): void {
    // SQLite's own attempts, one for each commit, would read the whole log each time.
    if (isPinned !== this.#isPinned) this.#database.pragma(`wal_autocheckpoint = ${isPinned ? 0 : AUTOCHECKPOINT_PAGES}`);
    this.#isPinned = isPinned;
    const bytes = isPinned ? walBytes(this.#database) : 0;
    this.#reason =
      bytes <= GROWN_BYTES
        ? null
        : {
            code: 'log_pinned',
            detail: `the write-ahead log has ${Math.round(bytes / 1e6)} MB: ${holdersText(this.#database.name)} reads an old state`,
          };
  }
}
