/**
 * Whose share of the queue a reading counts against: that of the user who published it, however many devices it invents, or that of the
 * strap. Readings of other clients that no user can be named for (an external broker does not tell) have one share together.
 */

/** What a row costs beside its JSON, in bytes. */
const ROW_OVERHEAD_BYTES = 64;
/** How the fields stand in our own JSON. What a client published is escaped inside `original`, so it cannot contain them. */
const PUBLISHER = '"publisher":"';
/** In each reading of a strap, and in no other. */
const STRAP_FIELD = '"sensor_contact":';

const publisherIn = (data: string): string | undefined => {
  const at = data.indexOf(PUBLISHER);
  return at < 0 ? undefined : data.slice(at + PUBLISHER.length, data.indexOf('"', at + PUBLISHER.length));
};

/** The owner of a reading, by its JSON and its device. */
export function ownerNameOf(device: string, data: string): string {
  return data.includes(STRAP_FIELD) ? `strap ${device}` : `publisher ${publisherIn(data) ?? ''}`;
}

export class Owner {
  /** Its rows in the file that the drain does not have, and their size. */
  rows = 0;
  bytes = 0;
  /** Its rows that the drain has. */
  taken = 0;
  /** Those of them that go before a backlog. */
  live = 0;
  /** Of its rows, none below this id can be evicted. */
  evictableFrom: number;
  /** The lowest id of its rows that were passed over because it had too many in the drain; undefined if there are none. */
  passedOverFrom: number | undefined;
  /** Size of its last row that was counted. */
  lastBytes = 0;

  constructor(firstId: number) {
    this.evictableFrom = firstId;
  }
}

export interface OwnedRow {
  id: number;
  device: string;
  data: string;
}

export const sizeOf = ({ data }: Pick<OwnedRow, 'data'>): number => data.length + ROW_OVERHEAD_BYTES;

export class Owners {
  readonly #publishers = new Map<string, Owner>();
  readonly #straps = new Map<string, Owner>();
  readonly #unnamed = new Owner(1);
  /** All rows that the drain does not have, and those that it has. */
  rows = 0;
  taken = 0;

  of({ id, device, data }: OwnedRow): Owner {
    // Most readings are those of straps, so this comes first: it is called for each reading.
    const publisher = data.includes(STRAP_FIELD) ? undefined : (publisherIn(data) ?? '');
    if (publisher === '') return this.#unnamed;
    const name = publisher ?? device;
    const owners = publisher === undefined ? this.#straps : this.#publishers;
    let owner = owners.get(name);
    if (owner === undefined) owners.set(name, (owner = new Owner(id)));
    return owner;
  }

  add(row: OwnedRow): Owner {
    const owner = this.of(row);
    const bytes = sizeOf(row);
    owner.rows += 1;
    owner.bytes += bytes;
    owner.lastBytes = bytes;
    // Rows of before the start may be counted after later ones.
    owner.evictableFrom = Math.min(owner.evictableFrom, row.id);
    this.rows += 1;
    return owner;
  }

  /** A row is evicted, or the drain has it. */
  remove(owner: Owner, bytes: number): void {
    owner.rows -= 1;
    // The size of a row that was put back is an estimate.
    owner.bytes = owner.rows === 0 ? 0 : Math.max(0, owner.bytes - bytes);
    this.rows -= 1;
  }

  take(owner: Owner, bytes: number): void {
    this.remove(owner, bytes);
    owner.taken += 1;
    this.taken += 1;
  }

  /** The drain no longer has a row. */
  settle(owner: Owner): void {
    owner.taken -= 1;
    this.taken -= 1;
  }

  /** A row that the drain had waits in the file again. */
  putBack(owner: Owner, id: number): void {
    this.settle(owner);
    owner.rows += 1;
    owner.bytes += owner.lastBytes;
    owner.evictableFrom = Math.min(owner.evictableFrom, id);
    this.rows += 1;
  }

  /** Whether other owners have rows that the drain does not have. */
  othersWait(owner: Owner): boolean {
    return this.rows > owner.rows;
  }

  *all(): Generator<Owner> {
    yield this.#unnamed;
    yield* this.#publishers.values();
    yield* this.#straps.values();
  }

  /** Forgets owners without rows. */
  forgetEmpty(): void {
    for (const owners of [this.#publishers, this.#straps])
      for (const [name, owner] of owners)
        if (owner.rows <= 0 && owner.taken <= 0 && owner.passedOverFrom === undefined) owners.delete(name);
  }

  get size(): number {
    return this.#publishers.size + this.#straps.size;
  }
}
