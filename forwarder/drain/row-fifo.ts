import type { QueuedReading } from '../queue/drain-queue.ts';

/** A queue of rows. */
export class RowFifo {
  #rows: QueuedReading[] = [];
  #from = 0;

  get length(): number {
    return this.#rows.length - this.#from;
  }

  at(index: number): QueuedReading | undefined {
    return this.#rows[this.#from + index];
  }

  push(row: QueuedReading): void {
    this.#rows.push(row);
  }

  /** Puts rows in front of all others, in their order. */
  unshift(rows: readonly QueuedReading[]): void {
    if (rows.length === 0) return;
    this.#rows = [...rows, ...this.#rows.slice(this.#from)];
    this.#from = 0;
  }

  /** Removes the rows of a device. */
  withdraw(device: string): QueuedReading[] {
    const rows = this.#rows.slice(this.#from);
    this.#rows = rows.filter((row) => row.device !== device);
    this.#from = 0;
    return rows.filter((row) => row.device === device);
  }

  shift(count: number): QueuedReading[] {
    const rows = this.#rows.slice(this.#from, this.#from + count);
    this.#from += rows.length;
    if (this.#from >= 1000 || this.#from === this.#rows.length) {
      this.#rows = this.#rows.slice(this.#from);
      this.#from = 0;
    }
    return rows;
  }
}
