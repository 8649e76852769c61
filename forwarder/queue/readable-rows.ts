/**
 * Reads a table of a damaged file, row by row, around the pages that cannot be read. A row may come twice, and rows beyond a damaged page
 * come in descending order; memory does not grow with the table.
 */
import type { Database } from '../../service/storage/sqlite.ts';

/** Ids beyond the last one that could be read are probed at growing distances up to this one. */
const ID_MAX = Number.MAX_SAFE_INTEGER;

type WithId = { id: number };

/** The ids that a read covered, from `first` to `last`, and whether it came to the end of the table. */
interface Extent {
  last: number;
  isComplete: boolean;
}

class TableReader<Row extends WithId> {
  readonly #database: Database;
  readonly #table: string;

  constructor(database: Database, table: string) {
    this.#database = database;
    this.#table = table;
  }

  /** Yields rows after an id up to the first page that cannot be read. A damaged page may lead back: ids must grow. */
  *forward(afterId: number): Generator<Row, Extent> {
    let last = afterId;
    try {
      const rows = this.#database.prepare(`SELECT * FROM ${this.#table} WHERE id > ? ORDER BY id`).iterate(afterId);
      for (const row of rows as IterableIterator<Row>) {
        if (row.id <= last) return { last, isComplete: false };
        last = row.id;
        yield row;
      }
      return { last, isComplete: true };
    } catch {
      return { last, isComplete: false };
    }
  }

  /** Yields rows from an id down to, and without, another, up to the first page that cannot be read. */
  *backward(fromId: number, downToId: number): Generator<Row, void> {
    let last = fromId + 1;
    try {
      const query = `SELECT * FROM ${this.#table} WHERE id <= ? AND id > ? ORDER BY id DESC`;
      for (const row of this.#database.prepare(query).iterate(fromId, downToId) as IterableIterator<Row>) {
        if (row.id >= last) return;
        last = row.id;
        yield row;
      }
    } catch {
      return;
    }
  }

  /** The first id above `afterId` + some distance that can be read; undefined if there is none. */
  firstReadable(afterId: number): number | undefined {
    const statement = this.#database.prepare(`SELECT id FROM ${this.#table} WHERE id > ? ORDER BY id LIMIT 1`).pluck();
    for (let distance = 1; afterId + distance < ID_MAX; distance *= 2)
      try {
        const id: unknown = statement.get(afterId + distance);
        // Beyond the last row: the end of the table can be read only from behind.
        if (typeof id !== 'number') break;
        if (id > afterId + distance) return id;
      } catch {
        continue;
      }
    return undefined;
  }
}

/** Every row of a table that can be read. Nothing if the table itself cannot. */
export function* readableRows<Row extends WithId>(database: Database, table: string): Generator<Row, void> {
  const reader = new TableReader<Row>(database, table);
  let after = 0;
  for (;;) {
    const { last, isComplete } = yield* reader.forward(after);
    if (isComplete) return;
    let next: number | undefined;
    try {
      next = reader.firstReadable(last);
    } catch {
      next = undefined;
    }
    yield* reader.backward(next === undefined ? ID_MAX : next - 1, last);
    if (next === undefined) return;
    after = next - 1;
  }
}
