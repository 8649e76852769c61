import type { Database, Statement } from '../../service/storage/sqlite.ts';
import type { Owner } from './owners.ts';
import type { StoredRow } from './stored-rows.ts';

export type Row = Omit<StoredRow, 'crc'>;

type RowColumns = [
  id: number,
  acceptedMs: number,
  source: number,
  device: string,
  data: string,
  crc: number,
  run: number | null,
  seq: number | null,
  account: string | null,
];

/** Rows that one call may examine without taking them. */
const EXAMINED_MAX = 5000;

/** What one call of `take` has taken, and what it may take yet. */
export class Taking {
  readonly rows: Row[] = [];
  #bytes = 0;
  examined = 0;
  #maxRows: number;
  readonly #maxBytes: number;

  constructor(maxRows: number, maxBytes: number) {
    this.#maxRows = maxRows;
    this.#maxBytes = maxBytes;
  }

  get rowsLeft(): number {
    return this.#maxRows - this.rows.length;
  }

  get mayExamine(): boolean {
    return this.examined < EXAMINED_MAX;
  }

  /** From now on at most this many more rows, and other rows to examine. */
  continueWith(maxRows: number): void {
    this.#maxRows = Math.min(this.#maxRows, this.rows.length + maxRows);
    this.examined = 0;
  }

  /** At least one row, whatever its size. */
  fits({ data }: Row): boolean {
    return this.rowsLeft > 0 && (this.rows.length === 0 || this.#bytes + data.length <= this.#maxBytes);
  }

  add(row: Row): void {
    this.rows.push(row);
    this.#bytes += row.data.length;
  }
}

export const selectRows = (database: Database): Statement =>
  database
    .prepare(
      'SELECT id, accepted_ms, source, device, data, crc, run, seq, account FROM rows WHERE id > ? AND id <= ? ORDER BY id LIMIT ?',
    )
    .raw();

/** Rows with ids above `afterId`, up to `toId`. */
export function rowsOf(select: Statement, afterId: number, toId: number, limit: number): (Row & { crc: number })[] {
  const rows = select.all(afterId, toId, limit) as RowColumns[];
  // By index: destructuring an array takes three times as long.
  return rows.map((row) => ({
    id: row[0],
    accepted_ms: row[1],
    source: row[2],
    device: row[3],
    data: row[4],
    crc: row[5],
    run: row[6],
    seq: row[7],
    account: row[8],
  }));
}

/** Owners and devices whose rows were passed over and may be read now. */
export interface Ready {
  owners: Set<Owner>;
  devices: ReadonlySet<string>;
}

/** Keeps the lowest id of a key. */
export function lower(into: Map<string, number>, key: string, id: number): void {
  into.set(key, Math.min(into.get(key) ?? id, id));
}
