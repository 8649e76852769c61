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
/** Rows that are read to find some of one owner before another one is tried. */
const EXAMINED_OF_OWNER_MAX = 20_000;
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

  /** The owner with the largest share that has rows to evict; of equal ones, the one with the older rows. */
  #largest(choice: Choice<Row>): Owner | undefined {
    let largest: Owner | undefined;
    for (const owner of this.#owners.all()) {
      if (choice.isExhausted(owner)) continue;
      const more = largest === undefined ? 1 : choice.shareOf(owner) - choice.shareOf(largest);
      if (more > 0 || (more === 0 && this.#from(owner) < this.#from(largest ?? owner))) largest = owner;
    }
    return largest;
  }

  #from(owner: Owner): number {
    return this.#evictableFrom.get(owner) ?? owner.evictableFrom;
  }

  /** At most `maxRows` rows, until they have this many bytes; none only if all rows are in flight. No row below `firstId` can be evicted. */
  rows(wanted: { maxRows: number; bytes: number }, isInFlight: (id: number) => boolean, firstId: number): Row[] {
    this.#evictableFrom = new Map();
    const choice = new Choice<Row>(wanted);
    while (!choice.isDone) {
      const largest = this.#largest(choice);
      if (largest === undefined) break;
      const from = Math.max(this.#from(largest), firstId);
      this.#evictableFrom.set(largest, this.#choose(choice, largest, from, isInFlight));
    }
    return choice.rows;
  }

  /** The chosen rows are deleted. */
  done(): void {
    for (const [owner, id] of this.#evictableFrom) owner.evictableFrom = id;
    this.#evictableFrom = new Map();
  }

  /** Chooses rows from this id on until the owner is no longer among the largest. Returns the id before which it has none left. */
  #choose(choice: Choice<Row>, largest: Owner, from: number, isInFlight: (id: number) => boolean): number {
    const least = choice.shareOf(largest) * NEAR_LARGEST;
    let next = from;
    for (let examined = 0; examined < EXAMINED_OF_OWNER_MAX; examined += CHUNK_ROWS) {
      const rows = this.#read(next - 1, CHUNK_ROWS);
      choice.examined += rows.length;
      for (const row of rows) {
        if (choice.isFull) return next;
        const owner = this.#owners.of(row);
        const mayGo = !isInFlight(row.id) && !choice.has(row);
        if (mayGo && choice.shareOf(owner) >= least) choice.add(owner, row);
        else if (mayGo && owner === largest) return next;
        next = row.id + 1;
      }
      if (rows.length < CHUNK_ROWS) {
        choice.exhausted.add(largest);
        return next;
      }
    }
    return next;
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

  get isFull(): boolean {
    return this.#rows.size >= this.#wanted.maxRows || this.#bytes >= this.#wanted.bytes;
  }

  get isDone(): boolean {
    return this.isFull || (this.#rows.size > 0 && this.examined >= EXAMINED_MAX);
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
    return this.exhausted.has(owner) || owner.waiting <= (this.#of.get(owner)?.rows ?? 0);
  }
}
