/**
 * Which rows are evicted at the size limit: the oldest of the owners (owners.ts) with the largest shares. A row is evicted only if its
 * owner holds at least nine tenths of what the largest owner holds, so nobody can push out the readings of those who use less.
 */
import type { EvictedSpan } from './queue-messages.ts';
import { sizeOf, type OwnedRow, type Owner, type Owners } from './owners.ts';

/** Adds evicted rows to what is reported of them: a time span for each device. */
export function addToSpans(spans: Map<string, EvictedSpan>, rows: readonly (OwnedRow & { accepted_ms: number })[]): void {
  for (const { device, data, accepted_ms } of rows) {
    const at = /"timestamp":"([^"]+)"/.exec(data)?.[1] ?? new Date(accepted_ms).toISOString();
    const span = spans.get(device) ?? { device, from: at, to: at, count: 0 };
    spans.set(device, { ...span, to: at, count: span.count + 1 });
  }
}

const NEAR_LARGEST = 0.9;
const CHUNK_ROWS = 1000;
/** Rows that are read to find some of the largest owners before the largest are determined again. */
const EXAMINED_OF_OWNERS_MAX = 20_000;
/** Bounds the time of one step, as soon as it has found any row. */
const EXAMINED_MAX = 100_000;

export class Eviction<Row extends OwnedRow> {
  readonly #owners: Owners;
  readonly #read: (afterId: number, limit: number) => Row[];
  /** What `Owner.evictableFrom` becomes once the chosen rows are deleted. */
  #evictableFrom = new Map<Owner, number>();

  constructor(owners: Owners, read: (afterId: number, limit: number) => Row[]) {
    this.#owners = owners;
    this.#read = read;
  }

  /** The owners with the largest shares; none if no row is left. */
  #near(choice: Choice<Row>): Set<Owner> {
    const near = new Set<Owner>();
    let most = 0;
    for (const owner of this.#owners.all()) if (!choice.isExhausted(owner)) most = Math.max(most, choice.shareOf(owner));
    for (const owner of this.#owners.all())
      if (!choice.isExhausted(owner) && choice.shareOf(owner) >= most * NEAR_LARGEST) near.add(owner);
    return near;
  }

  #from(owner: Owner): number {
    return this.#evictableFrom.get(owner) ?? owner.evictableFrom;
  }

  /** Rows until one of the wanted numbers is reached; none only if all rows are taken. No row below `firstId` can be evicted. */
  rows(wanted: { maxRows: number; bytes: number }, isTaken: (id: number) => boolean, firstId: number): Row[] {
    this.#evictableFrom = new Map();
    const choice = new Choice<Row>(wanted);
    while (!choice.isDone) {
      const near = this.#near(choice);
      if (near.size === 0) break;
      this.#choose(choice, near, firstId, isTaken);
    }
    return choice.rows;
  }

  /** The chosen rows are deleted. */
  done(): void {
    for (const [owner, id] of this.#evictableFrom) owner.evictableFrom = id;
    this.#evictableFrom = new Map();
  }

  /** Chooses the oldest rows of these owners, until there are enough or too many were examined. */
  #choose(choice: Choice<Row>, near: Set<Owner>, firstId: number, isTaken: (id: number) => boolean): void {
    const shares = [...near].map((owner) => choice.shareOf(owner));
    const least = Math.max(...shares) * NEAR_LARGEST;
    let next = Math.max(firstId, Math.min(...[...near].map((owner) => this.#from(owner))));
    let isEnd = false;
    for (
      let examined = 0;
      examined < EXAMINED_OF_OWNERS_MAX && near.size > 0 && !choice.isFull() && !isEnd;
      examined += CHUNK_ROWS
    ) {
      const rows = this.#read(next - 1, CHUNK_ROWS);
      choice.examined += rows.length;
      isEnd = rows.length < CHUNK_ROWS;
      for (const row of rows) {
        if (choice.isFull()) break;
        next = row.id + 1;
        if (isTaken(row.id) || choice.has(row)) continue;
        const owner = this.#owners.of(row);
        if (!near.has(owner)) continue;
        if (choice.shareOf(owner) >= least) choice.add(owner, row);
        else {
          // It is no longer among the largest: this is its oldest row.
          near.delete(owner);
          this.#evictableFrom.set(owner, Math.max(row.id, this.#from(owner)));
        }
      }
    }
    for (const owner of near) {
      this.#evictableFrom.set(owner, Math.max(next, this.#from(owner)));
      if (isEnd && !choice.isFull()) choice.exhausted.add(owner);
    }
  }
}

/** Rows that are chosen in one step, and what remains of the shares without them. */
class Choice<Row extends OwnedRow> {
  readonly exhausted = new Set<Owner>();
  examined = 0;
  readonly #wanted: { maxRows: number; bytes: number };
  #bytes = 0;
  readonly #rows = new Map<number, Row>();
  readonly #of = new Map<Owner, { rows: number; bytes: number }>();

  constructor(wanted: { maxRows: number; bytes: number }) {
    this.#wanted = wanted;
  }

  get rows(): Row[] {
    return [...this.#rows.values()];
  }

  /** A method, because the loops that ask change the answer. */
  isFull(): boolean {
    return this.#rows.size >= this.#wanted.maxRows || this.#bytes >= this.#wanted.bytes;
  }

  get isDone(): boolean {
    return this.isFull() || (this.#rows.size > 0 && this.examined >= EXAMINED_MAX);
  }

  has({ id }: Row): boolean {
    return this.#rows.has(id);
  }

  add(owner: Owner, row: Row): void {
    const of = this.#of.get(owner) ?? { rows: 0, bytes: 0 };
    this.#of.set(owner, { rows: of.rows + 1, bytes: of.bytes + sizeOf(row) });
    this.#rows.set(row.id, row);
    this.#bytes += sizeOf(row);
  }

  shareOf(owner: Owner): number {
    return owner.bytes - (this.#of.get(owner)?.bytes ?? 0);
  }

  isExhausted(owner: Owner): boolean {
    return this.exhausted.has(owner) || owner.rows <= (this.#of.get(owner)?.rows ?? 0);
  }
}
