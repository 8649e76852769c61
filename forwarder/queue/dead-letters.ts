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
import { LETTER_OVERHEAD_BYTES, LetterShares, type SharedLetter } from './letter-shares.ts';
import type { DeadLetterInput } from './queue-messages.ts';
import type { RunAudit } from './run-audit.ts';
import { spanCode } from './span-codes.ts';
import { deadChecksum, insertDead, storedDead, type StoredDead } from './stored-rows.ts';

/** Dead letters never take more than about a tenth of the queue: a client that publishes garbage must not push readings out. */
const DEAD_MAX = 10_000;
const QUEUE_SHARE = 10;
/** Letters that are read by one query. */
const GROUP_ROWS = 100;
/** So much of a listed payload is read: enough for that many characters of UTF-8 or base64. */
const LISTED_BYTES = 4 * DEAD_LETTER_PAYLOAD_MAX;

interface ListedDead extends Omit<StoredDead, 'crc' | 'payload'> {
  beginning: Buffer;
}

const textOf = (payload: Buffer, isBase64: boolean): string =>
  (isBase64 ? Buffer.from(payload.toString(), 'base64') : payload).toString();

const payloadBytes = ({ payload }: Pick<StoredDead, 'payload'>): number => Buffer.byteLength(payload);

export class DeadLetters {
  readonly #insert: ReturnType<typeof insertDead>;
  readonly #delete: Statement;
  readonly #rename: Statement;
  readonly #selectShares: Statement;
  readonly #selectAfter: Statement;
  readonly #selectOne: Statement;
  readonly #selectPage: Statement;
  readonly #maxBytes: number;
  readonly #audit: RunAudit;
  /** Read when the limit is first reached, and again after a transaction that failed. */
  #shares: LetterShares | undefined;

  /** `maxQueueBytes`: QUEUE_MAX_BYTES, of which dead letters may take a tenth. */
  constructor(database: Database, maxQueueBytes: number, audit: RunAudit) {
    this.#audit = audit;
    this.#insert = insertDead(database);
    this.#delete = database.prepare('DELETE FROM dead WHERE id = ?');
    this.#rename = database.prepare('UPDATE dead SET reason = ?, detail = ?, crc = ? WHERE id = ?');
    this.#selectShares = database.prepare(
      `SELECT id, device, publisher, arrived_at AS arrivedAt, iif(arrived_at IS NULL, payload, NULL) AS payload,
         octet_length(payload) AS bytes FROM dead ORDER BY id`,
    );
    this.#selectAfter = database.prepare('SELECT * FROM dead WHERE id > ? ORDER BY id LIMIT ?');
    this.#selectOne = database.prepare('SELECT * FROM dead WHERE id = ?');
    this.#selectPage = database.prepare(
      `SELECT id, at_ms, reason, detail, device, gateway, run, seq, publisher, bytes, base64, whole,
         substr(CAST(payload AS BLOB), 1, ${LISTED_BYTES}) AS beginning FROM dead WHERE id < ? ORDER BY id DESC LIMIT ?`,
    );
    this.#maxBytes = Math.floor(maxQueueBytes / QUEUE_SHARE);
  }

  add(next: LedgerState, letter: DeadLetterInput): void {
    const stored = storedDead(letter, Date.now());
    const id = this.#insert(stored);
    const bytes = payloadBytes(letter);
    const { device, payload, publisher = null, arrived_at: arrivedAt = null } = stored;
    this.#shares?.add({ id, device, publisher, arrivedAt, payload, bytes });
    next.dead += 1;
    next.deadBytes += bytes;
    addTo(next.deadBy, letter.reason, 1);
    this.#audit.dead(next, letter);
  }

  /** `evicted`: the cause, or null if the reading is queued again. */
  remove(next: LedgerState, letter: StoredDead, evicted: string | null): void {
    this.#audit.letter(next, letter, evicted === null ? null : spanCode('evicted', evicted));
    if (evicted !== null) addTo(next.evictedBy, evicted, 1);
    this.#delete.run(letter.id);
    this.#shares?.remove(letter.id);
    next.dead -= 1;
    next.deadBytes -= payloadBytes(letter);
    this.#uncount(next, letter.reason);
  }

  #uncount(next: LedgerState, reason: string): void {
    addTo(next.deadBy, reason, -1);
    if (next.deadBy[reason] === 0) delete next.deadBy[reason];
  }

  /** Gives a letter another reason. */
  rename(next: LedgerState, letter: StoredDead, reason: string, detail: string): void {
    this.#rename.run(reason, detail, deadChecksum({ ...letter, reason, detail }), letter.id);
    this.#audit.letter(next, letter, spanCode('dead', reason));
    this.#uncount(next, letter.reason);
    addTo(next.deadBy, reason, 1);
  }

  /** The transaction of the last changes failed. */
  rolledBack(): void {
    this.#shares = undefined;
  }

  #readShares(): LetterShares {
    const shares = new LetterShares();
    for (const letter of this.#selectShares.iterate() as IterableIterator<SharedLetter>) shares.add(letter);
    return shares;
  }

  /** Beyond the limits of number and bytes, evicts the oldest dead letters of those who have the largest share of them. */
  evictOverLimit(next: LedgerState): void {
    while (next.dead > DEAD_MAX || next.deadBytes + next.dead * LETTER_OVERHEAD_BYTES > this.#maxBytes) {
      const id = (this.#shares ??= this.#readShares()).next;
      const letter = id === undefined ? undefined : (this.#selectOne.get(id) as StoredDead | undefined);
      if (letter === undefined) return;
      this.remove(next, letter, 'dead_letters_full');
    }
  }

  /** The letters with these ids, or all of them (null), oldest first, in groups that fit into memory. */
  *groups(ids: readonly number[] | null): Generator<StoredDead[]> {
    if (ids === null) {
      for (let after = 0; ;) {
        const group = this.#selectAfter.all(after, GROUP_ROWS) as StoredDead[];
        const last = group.at(-1);
        if (last === undefined) return;
        yield group;
        after = last.id;
      }
    }
    const chosen = [...new Set(ids)];
    for (let index = 0; index < chosen.length; index += GROUP_ROWS)
      yield chosen.slice(index, index + GROUP_ROWS).flatMap((id) => (this.#selectOne.get(id) as StoredDead | undefined) ?? []);
  }

  /** At most `limit` letters with ids below `before`, newest first; fewer if their JSON would exceed DEAD_LETTERS_MAX_BYTES. */
  list(limit: number, before: number | null): Omit<DeadLetterList, 'total'> {
    const letters: DeadLetter[] = [];
    let bytes = 0;
    const rows = this.#selectPage.iterate(before ?? Number.MAX_SAFE_INTEGER, limit + 1) as Iterable<ListedDead>;
    for (const { at_ms, base64, beginning, ...row } of rows) {
      const letter: DeadLetter = {
        ...row,
        gateway: row.gateway ?? null,
        publisher: row.publisher ?? null,
        payload: textOf(beginning, base64 === 1).slice(0, DEAD_LETTER_PAYLOAD_MAX),
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
