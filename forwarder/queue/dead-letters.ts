/**
 * The table of dead letters: readings that can never be shipped, with the reason. Every method that changes the table also changes the
 * ledger that it is given, and runs inside the caller's transaction.
 */
import {
  DEAD_LETTER_PAYLOAD_MAX,
  DEAD_LETTERS_MAX_BYTES,
  type DeadLetter,
  type DeadLetters as DeadLetterList,
} from '../../contract/dead-letter.ts';
import type { Database, Statement } from '../../service/storage/sqlite.ts';
import { addTo, type LedgerState } from './ledger.ts';
import type { DeadLetterInput } from './queue-messages.ts';
import { insertDead, type StoredDead } from './stored-rows.ts';

/** Dead letters never take more than about a tenth of the queue: a client that publishes garbage must not push readings out. */
const DEAD_MAX = 10_000;
const DEAD_BYTES_ASSUMED = 4500;

export class DeadLetters {
  readonly #insert: ReturnType<typeof insertDead>;
  readonly #delete: Statement;
  readonly #selectOldest: Statement;
  readonly #selectAll: Statement;
  readonly #selectOne: Statement;
  readonly #selectPage: Statement;
  readonly #max: number;

  /** `maxQueueBytes`: QUEUE_MAX_BYTES, of which dead letters may take a tenth. */
  constructor(database: Database, maxQueueBytes: number) {
    this.#insert = insertDead(database);
    this.#delete = database.prepare('DELETE FROM dead WHERE id = ?');
    this.#selectOldest = database.prepare('SELECT id, reason FROM dead ORDER BY id LIMIT ?');
    this.#selectAll = database.prepare('SELECT * FROM dead ORDER BY id LIMIT ?');
    this.#selectOne = database.prepare('SELECT * FROM dead WHERE id = ?');
    this.#selectPage = database.prepare(
      'SELECT id, at_ms, reason, detail, device, run, seq, bytes, payload, whole FROM dead WHERE id < ? ORDER BY id DESC LIMIT ?',
    );
    this.#max = Math.min(DEAD_MAX, Math.floor(maxQueueBytes / 10 / DEAD_BYTES_ASSUMED));
  }

  add(next: LedgerState, letter: DeadLetterInput): void {
    this.#insert({ ...letter, at_ms: Date.now(), whole: letter.whole ? 1 : 0 });
    next.dead += 1;
    addTo(next.deadBy, letter.reason, 1);
  }

  remove(next: LedgerState, { id, reason }: Pick<StoredDead, 'id' | 'reason'>): void {
    this.#delete.run(id);
    next.dead -= 1;
    addTo(next.deadBy, reason, -1);
    if (next.deadBy[reason] === 0) delete next.deadBy[reason];
  }

  /** Evicts the oldest dead letters beyond the limit. */
  evictOverLimit(next: LedgerState): void {
    const excess = next.dead - this.#max;
    if (excess <= 0) return;
    for (const letter of this.#selectOldest.all(excess) as StoredDead[]) this.remove(next, letter);
    addTo(next.evictedBy, 'dead_letters_full', excess);
  }

  /** The letters with these ids, or all of them (null), oldest first. */
  find(ids: readonly number[] | null): StoredDead[] {
    if (ids === null) return this.#selectAll.all(DEAD_MAX) as StoredDead[];
    return [...new Set(ids)].flatMap((id) => (this.#selectOne.get(id) as StoredDead | undefined) ?? []);
  }

  /** At most `limit` letters with ids below `before`, newest first; fewer if their JSON would exceed DEAD_LETTERS_MAX_BYTES. */
  list(limit: number, before: number | null): Omit<DeadLetterList, 'total'> {
    const letters: DeadLetter[] = [];
    let bytes = 0;
    const rows = this.#selectPage.iterate(before ?? Number.MAX_SAFE_INTEGER, limit + 1) as Iterable<Omit<StoredDead, 'crc'>>;
    for (const { at_ms, ...row } of rows) {
      const letter: DeadLetter = {
        ...row,
        payload: row.payload.slice(0, DEAD_LETTER_PAYLOAD_MAX),
        whole: row.whole === 1,
        at: new Date(at_ms).toISOString(),
      };
      bytes += Buffer.byteLength(JSON.stringify(letter)) + 1;
      const last = letters.at(-1);
      if (last !== undefined && (letters.length === limit || bytes > DEAD_LETTERS_MAX_BYTES))
        return { dead_letters: letters, next_before: last.id };
      letters.push(letter);
    }
    return { dead_letters: letters, next_before: null };
  }
}
