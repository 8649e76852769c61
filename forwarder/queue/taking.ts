import type { StoredRow } from './stored-rows.ts';

export type Row = Omit<StoredRow, 'crc'>;

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
