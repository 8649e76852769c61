/**
 * Reads a table of a damaged file, row by row, around the pages that cannot be read. A row may come twice, and rows beyond a damaged page
 * come in descending order; memory does not grow with the table. Only a row with a right checksum says where the reading is: in a page
 * whose cells are overwritten, an id may be any number, and the rows up to it would be passed over. A checksum does not cover the id, so
 * reading goes on only from an id under which the table finds the same row.
 */
import type { Database } from '../../service/storage/sqlite.ts';
import type { PassesOver } from './disk-trouble.ts';

/** Ids beyond the last one that could be read are probed at growing distances up to this one. */
const ID_MAX = Number.MAX_SAFE_INTEGER;

/** So many ids are remembered to recognise one that is out of place. */
const RECENT = 64;
/** So many rows in a row that are out of place mean that a damaged page has led back to what was read. */
const STRAYS_MAX = 1000;

type WithId = { id: number; crc: number };

/**
 * Ids in the order in which they are read. An id that is not beyond the last one is in order if those since then were out of place: cells
 * that were overwritten. If it was read before, or is lower than all that are remembered, a damaged page has led back.
 */
class IdsInOrder {
  readonly #isBeyond: (id: number, other: number) => boolean;
  readonly #recent: number[];

  constructor(start: number, isBeyond: (id: number, other: number) => boolean) {
    this.#recent = [start];
    this.#isBeyond = isBeyond;
  }

  /** The newest first. */
  get recent(): readonly number[] {
    return this.#recent.toReversed();
  }

  /** False: out of place. Reading forward must not go on from here. */
  follows(id: number): boolean {
    const at = this.#recent.findLastIndex((earlier) => this.#isBeyond(id, earlier));
    if (at < 0 || this.#recent.includes(id)) return false;
    this.#recent.length = at + 1;
    this.#recent.push(id);
    if (this.#recent.length > RECENT) this.#recent.shift();
    return true;
  }
}

/** Where a read ended: at the end of the table, or after these ids, the newest first. */
interface Extent {
  recent: readonly number[];
  isComplete: boolean;
}

class TableReader<Row extends WithId> {
  readonly #database: Database;
  readonly #table: string;
  readonly #isWhole: (row: Row) => boolean;
  readonly #passesOver: PassesOver;
  /** Checksums of the rows that were read last, by id. */
  readonly #checksums = new Map<number, number>();

  constructor(database: Database, table: string, isWhole: (row: Row) => boolean, passesOver: PassesOver) {
    this.#passesOver = passesOver;
    this.#database = database;
    this.#table = table;
    this.#isWhole = isWhole;
  }

  /** Yields rows after an id up to the first page that cannot be read. */
  *forward(afterId: number): Generator<Row, Extent> {
    const ids = new IdsInOrder(afterId, (id, other) => id > other);
    try {
      const rows = this.#database.prepare(`SELECT * FROM ${this.#table} WHERE id > ? ORDER BY id`).iterate(afterId);
      for (const row of rows as IterableIterator<Row>) {
        if (!this.#isWhole(row)) continue;
        const isInOrder = ids.follows(row.id);
        if (isInOrder) this.#remember(row);
        yield row;
        if (!isInOrder) return { recent: ids.recent, isComplete: false };
      }
      return { recent: ids.recent, isComplete: true };
    } catch (error) {
      this.#passesOver(error);
      return { recent: ids.recent, isComplete: false };
    }
  }

  #remember({ id, crc }: Row): void {
    this.#checksums.delete(id);
    this.#checksums.set(id, crc);
    const [oldest] = this.#checksums.keys();
    if (this.#checksums.size > RECENT && oldest !== undefined) this.#checksums.delete(oldest);
  }

  /** The newest of these ids that is one: under it the table finds the row that was read. Else the last of them, where reading began. */
  confirmed(recent: readonly number[]): number {
    const statement = this.#database.prepare<[number], Row>(`SELECT * FROM ${this.#table} WHERE id = ?`);
    const isFound = (id: number): boolean => {
      try {
        const row = statement.get(id);
        return row !== undefined && row.crc === this.#checksums.get(id) && this.#isWhole(row);
      } catch (error) {
        this.#passesOver(error);
        return false;
      }
    };
    return recent.find(isFound) ?? recent.at(-1) ?? 0;
  }

  /** Yields rows from an id down, up to the first page that cannot be read, or to a row that `forward` has read last. */
  *backward(fromId: number): Generator<Row, void> {
    const ids = new IdsInOrder(fromId + 1, (id, other) => id < other);
    let strays = 0;
    try {
      // Without a lower limit: SQLite would end at an id that is out of place.
      const query = `SELECT * FROM ${this.#table} WHERE id <= ? ORDER BY id DESC`;
      for (const row of this.#database.prepare(query).iterate(fromId) as IterableIterator<Row>) {
        if (!this.#isWhole(row)) continue;
        if (this.#checksums.get(row.id) === row.crc) return;
        strays = ids.follows(row.id) ? 0 : strays + 1;
        if (strays > STRAYS_MAX) return;
        yield row;
      }
    } catch (error) {
      this.#passesOver(error);
    }
  }

  /** The first id above `afterId` + some distance whose row is whole and was not read before; undefined if there is none. */
  firstReadable(afterId: number): number | undefined {
    const statement = this.#database.prepare<[number], Row>(`SELECT * FROM ${this.#table} WHERE id > ? ORDER BY id LIMIT 1`);
    for (let distance = 1; afterId + distance < ID_MAX; distance *= 2)
      try {
        const row = statement.get(afterId + distance);
        // Beyond the last row: the end of the table can be read only from behind.
        if (row === undefined) break;
        if (row.id > afterId + distance && this.#isWhole(row) && this.#checksums.get(row.id) !== row.crc) return row.id;
      } catch (error) {
        this.#passesOver(error);
      }
    return undefined;
  }
}

/** Every whole row of a table that can be read. Nothing if the table itself cannot. Throws what `passesOver` throws. */
export function* readableRows<Row extends WithId>(
  database: Database,
  table: string,
  isWhole: (row: Row) => boolean,
  passesOver: PassesOver,
): Generator<Row, void> {
  const reader = new TableReader<Row>(database, table, isWhole, passesOver);
  let after = 0;
  for (;;) {
    const { recent, isComplete } = yield* reader.forward(after);
    if (isComplete) return;
    let next: number | undefined;
    try {
      next = reader.firstReadable(reader.confirmed(recent));
    } catch (error) {
      passesOver(error);
      next = undefined;
    }
    yield* reader.backward(next === undefined ? ID_MAX : next - 1);
    if (next === undefined) return;
    after = next - 1;
  }
}
