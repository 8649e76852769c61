/**
 * Which rows the drain gets next. Rows are read in the order of acceptance, with three exceptions, so that nobody holds back the others:
 * - The drain has put back the rows of a device (its partition key is refused): they stay in the file until it releases the device.
 * - An owner (owners.ts) that has many rows in the drain waits while others have rows: it may have as many as there is room left.
 * - The drain has declared what was accepted before a time to be the backlog (`goLive`): later rows are read before it.
 * Rows that were passed over are read as soon as that ends, before later rows of the same device, so each device stays in order unless
 * there is a backlog.
 *
 * Rows up to the cursor are in flight, or were passed over. No index is needed: what was passed over is found from its lowest id on, and
 * shipped rows are gone from there.
 */
import type { Database, Statement } from '../../service/storage/sqlite.ts';
import { READ_AHEAD_ROWS, type TakeLimits } from './drain-queue.ts';
import { Eviction } from './eviction.ts';
import { Owners, sizeOf, type OwnedRow, type Owner } from './owners.ts';
import { DamagedRowError, rowChecksum } from './stored-rows.ts';
import { lower, rowsOf, selectRows, Taking, type Ready, type Row } from './taking.ts';

const CHUNK_ROWS = 500;
/** Of the rows that go before a backlog an owner may have this many in the drain; what is beyond joins the backlog. */
const OWNER_LIVE_ROWS = 1000;
/** An owner may always have this many rows in the drain: two full requests. */
const OWNER_ROWS_MIN = 1000;
/** An owner that was passed over is read again once it may have this many more. */
const OWNER_ROWS_AGAIN = 500;
/** Rows of before the start that are counted with each commit, or in one step. */
const COUNTED_PER_COMMIT = 2000;
/** Owners without rows are forgotten when there are this many owners. */
const OWNERS_KEPT = 1000;

export interface ReadAheadOptions {
  /** Of the file as it was opened. */
  nextRowId: number;
  /** Whether a row was shipped, evicted or buried, and is not deleted yet. */
  isSettled: (id: number) => boolean;
  /** Whose rows are in the file, if they were counted already. */
  owners?: Owners | undefined;
}

export class ReadAhead {
  #select: Statement;
  readonly #owners: Owners;
  readonly #eviction: Eviction<Row & { crc: number }>;
  #cursor = 0;
  /** Rows of the backlog that were not visited yet are among those with ids above `after`, up to `to`; undefined: there is no backlog. */
  #backlog: { after: number; to: number } | undefined;
  /** Rows with higher ids are live. */
  #liveFrom = Number.POSITIVE_INFINITY;
  /** Rows that the drain has, and their owners. */
  readonly #inFlight = new Map<number, Owner>();
  /** Of rows that were shipped, evicted or buried, until a commit has deleted them. */
  readonly #isSettled: (id: number) => boolean;
  /** Owners with `passedOverFrom`. */
  readonly #waiting = new Set<Owner>();
  /** Devices whose rows the drain has put back. */
  readonly #held = new Set<string>();
  /** Devices with rows that were put back or passed over, with the lowest id of these. */
  readonly #passedOver = new Map<string, number>();
  /** Those of them that are no longer held. */
  readonly #released = new Set<string>();
  /** Rows of before the start, with ids below this, that the check has not counted, are counted step by step, up to `#countedTo`. */
  readonly #firstNewId: number;
  #countedTo = 0;
  #lastId: number;

  constructor(database: Database, { nextRowId, isSettled, owners }: ReadAheadOptions) {
    this.#isSettled = isSettled;
    this.#firstNewId = nextRowId;
    this.#lastId = nextRowId - 1;
    this.#owners = owners ?? new Owners();
    if (owners !== undefined) this.#countedTo = nextRowId - 1;
    this.#select = selectRows(database);
    this.#eviction = new Eviction(this.#owners, (afterId, limit) => this.#read(afterId, Number.MAX_SAFE_INTEGER, limit));
  }

  /** Continues on the file that has replaced a damaged one: its rows have the same ids. */
  moveTo(database: Database): void {
    this.#select = selectRows(database);
  }

  #read(afterId: number, toId: number, limit: number): (Row & { crc: number })[] {
    return rowsOf(this.#select, afterId, toId, limit);
  }

  /**
   * Reads in chunks: stepping row by row costs three times as much. `visit` returns false to stop before its row. Returns the id up to
   * which everything was visited.
   */
  #scan(afterId: number, toId: number, taking: Taking, visit: (row: Row & { crc: number }) => boolean): number {
    let at = afterId;
    while (taking.mayExamine && taking.rowsLeft > 0) {
      // A chunk of very large rows must fit into memory.
      const limit = Math.min(CHUNK_ROWS, Math.max(taking.rowsLeft, 50));
      const chunk = this.#read(at, toId, limit);
      for (const row of chunk) {
        if (!visit(row)) return at;
        at = row.id;
        taking.examined += 1;
      }
      if (chunk.length < limit) return toId;
    }
    return at;
  }

  /** Takes the oldest rows of a device that is held, and stays so. False if there may be more. */
  #takeHeld(device: string, taking: Taking): boolean {
    const from = this.#held.has(device) ? this.#passedOver.get(device) : undefined;
    if (from === undefined) return true;
    const to = this.#scan(from - 1, this.#cursor, taking, (row) => {
      if (row.device !== device || this.#isTaken(row.id)) return true;
      if (!taking.fits(row)) return false;
      this.#add(row, this.#owners.of(row), taking);
      return true;
    });
    const isComplete = to >= this.#cursor;
    if (isComplete) this.#forget(device);
    else this.#passedOver.set(device, to + 1);
    return isComplete;
  }

  /**
   * Takes the next rows, within the limits (at least one row), of the backlog at most `backlogRows`. The first `liveRows` of them are not
   * backlog. `isComplete`: there are no others now. Throws DamagedRowError: a row with a wrong checksum is never shipped.
   */
  take(limits: TakeLimits): { rows: Row[]; liveRows: number; isComplete: boolean } {
    const { maxRows, maxBytes, backlogRows = maxRows, ofHeld } = limits;
    const taking = new Taking(maxRows, maxBytes);
    const cursor = this.#cursor;
    const backlog = this.#backlog;
    try {
      if (ofHeld !== undefined)
        return { isComplete: this.#takeHeld(ofHeld, taking), rows: taking.rows, liveRows: taking.rows.length };
      if (backlog !== undefined) return this.#takeLiveFirst(taking, backlogRows);
      const isCaughtUp = this.#takePassedOver(taking);
      if (isCaughtUp && this.#onlyWaitingHaveRows()) return { rows: taking.rows, liveRows: taking.rows.length, isComplete: true };
      const end = isCaughtUp ? this.#scan(cursor, Number.MAX_SAFE_INTEGER, taking, (row) => this.#visitNext(row, taking)) : 0;
      return { rows: taking.rows, liveRows: taking.rows.length, isComplete: end === Number.MAX_SAFE_INTEGER };
    } catch (error) {
      // Nobody gets what was read before the damage: it is not in flight.
      this.#cursor = cursor;
      this.#backlog = backlog;
      for (const { id } of taking.rows) this.#putBackOne(id);
      throw error;
    }
  }

  /** What was accepted before this time (ms since the epoch) is the backlog. */
  goLive(sinceMs: number): void {
    const to = Math.max(this.#cursor, this.#lastBefore(sinceMs));
    this.#backlog = { after: this.#backlog?.after ?? this.#cursor, to };
    this.#cursor = to;
    this.#liveFrom = to;
    for (const owner of this.#owners.all()) owner.live = 0;
  }

  /** The id of the last row that was accepted before a time, or a little below: ids grow with time unless the clock was set. */
  #lastBefore(sinceMs: number): number {
    let low = this.#cursor;
    let high = this.#lastId;
    while (low < high) {
      const middle = Math.floor((low + high + 1) / 2);
      const [row] = this.#read(middle - 1, high, 1);
      if (row === undefined || row.accepted_ms >= sinceMs) high = middle - 1;
      else low = row.id;
    }
    return low;
  }

  #takeLiveFirst(taking: Taking, backlogRows: number): { rows: Row[]; liveRows: number; isComplete: boolean } {
    const cursor = this.#cursor;
    const end = this.#scan(cursor, Number.MAX_SAFE_INTEGER, taking, (row) => this.#visitLive(row, taking));
    const liveRows = taking.rows.length;
    let isComplete = end === Number.MAX_SAFE_INTEGER;
    taking.continueWith(backlogRows);
    if (taking.rowsLeft > 0) isComplete = this.#takeBacklog(taking) && isComplete;
    return { rows: taking.rows, liveRows, isComplete };
  }

  /** False if there may be more. */
  #takeBacklog(taking: Taking): boolean {
    const isCaughtUp = this.#takePassedOver(taking);
    const { after, to } = this.#backlog ?? { after: 0, to: 0 };
    const end = isCaughtUp ? this.#scan(after, to, taking, (row) => this.#visitBacklog(row, taking)) : after;
    const isVisited = isCaughtUp && end >= to;
    // Rows of owners that were passed over are backlog, too.
    this.#backlog = isVisited && this.#waiting.size === 0 ? undefined : { after: end, to };
    return isVisited;
  }

  #visitLive(row: Row & { crc: number }, taking: Taking): boolean {
    const { id, device } = row;
    const owner = this.#count(row) ?? this.#owners.of(row);
    if (this.#held.has(device)) lower(this.#passedOver, device, id);
    else if (owner.live >= OWNER_LIVE_ROWS && this.#owners.othersWait(owner))
      this.#backlog = { after: this.#backlog?.after ?? id - 1, to: id };
    else {
      if (!taking.fits(row)) return false;
      this.#add(row, owner, taking);
      owner.live += 1;
    }
    this.#cursor = id;
    return true;
  }

  #visitBacklog(row: Row & { crc: number }, taking: Taking): boolean {
    const { id, device } = row;
    if (this.#isTaken(id)) return true;
    const owner = this.#count(row) ?? this.#owners.of(row);
    if (this.#held.has(device)) lower(this.#passedOver, device, id);
    else if (owner.passedOverFrom === undefined && !this.#hasTooMany(owner)) {
      if (!taking.fits(row)) return false;
      this.#add(row, owner, taking);
    } else this.#passOver(owner, Math.min(owner.passedOverFrom ?? id, id));
    return true;
  }

  /**
   * Whether all rows that the drain does not have are of owners that wait. They need not be read to be passed over: they are read with
   * those that were, and while the stream is away every commit would read its own rows again for nothing.
   */
  #onlyWaitingHaveRows(): boolean {
    if (this.#waiting.size === 0 || this.#countedTo < this.#firstNewId - 1) return false;
    let rows = 0;
    for (const owner of this.#waiting) rows += owner.rows;
    return rows >= this.#owners.rows;
  }

  #passOver(owner: Owner, id: number): void {
    owner.passedOverFrom = id;
    this.#waiting.add(owner);
  }

  #add(row: Row & { crc: number }, owner: Owner, taking: Taking): void {
    if (rowChecksum(row) !== row.crc) throw new DamagedRowError(row.id);
    taking.add(row);
    this.#inFlight.set(row.id, owner);
    this.#owners.take(owner, sizeOf(row));
  }

  #visitNext(row: Row & { crc: number }, taking: Taking): boolean {
    const { id, device } = row;
    const owner = this.#count(row) ?? this.#owners.of(row);
    if (this.#held.has(device)) lower(this.#passedOver, device, id);
    else if (owner.passedOverFrom === undefined && !this.#hasTooMany(owner)) {
      if (!taking.fits(row)) return false;
      this.#add(row, owner, taking);
    } else this.#passOver(owner, owner.passedOverFrom ?? id);
    this.#cursor = id;
    return true;
  }

  /** Takes rows that were passed over and may be read now. False if there are more. */
  #takePassedOver(taking: Taking): boolean {
    const ready = this.#ready();
    let from = Number.POSITIVE_INFINITY;
    for (const { passedOverFrom } of ready.owners) from = Math.min(from, passedOverFrom ?? 0);
    for (const device of ready.devices) from = Math.min(from, this.#passedOver.get(device) ?? 0);
    if (from === Number.POSITIVE_INFINITY) return true;
    const to = this.#scan(from - 1, this.#cursor, taking, (row) => this.#visitPassedOver(row, ready, taking));
    const isCaughtUp = to >= this.#cursor;
    for (const owner of ready.owners) {
      owner.passedOverFrom = isCaughtUp ? undefined : Math.max(owner.passedOverFrom ?? 0, to + 1);
      if (isCaughtUp) this.#waiting.delete(owner);
    }
    for (const device of ready.devices)
      if (isCaughtUp) this.#forget(device);
      else this.#passedOver.set(device, Math.max(this.#passedOver.get(device) ?? 0, to + 1));
    return isCaughtUp || ready.owners.size + ready.devices.size === 0;
  }

  /** A device has no rows that were put back or passed over. */
  #forget(device: string): void {
    this.#passedOver.delete(device);
    this.#released.delete(device);
  }

  #visitPassedOver(row: Row & { crc: number }, ready: Ready, taking: Taking): boolean {
    const { id, device } = row;
    if (this.#isTaken(id)) return true;
    const owner = this.#owners.of(row);
    if (this.#held.has(device)) lower(this.#passedOver, device, id);
    else if (owner.passedOverFrom !== undefined && !ready.owners.has(owner))
      owner.passedOverFrom = Math.min(owner.passedOverFrom, id);
    else if (this.#hasTooMany(owner)) {
      this.#passOver(owner, id);
      ready.owners.delete(owner);
      return ready.owners.size + ready.devices.size > 0;
    } else {
      if (!taking.fits(row)) return false;
      this.#add(row, owner, taking);
    }
    return true;
  }

  #mayHave(): number {
    return Math.max(OWNER_ROWS_MIN, READ_AHEAD_ROWS - this.#owners.taken);
  }

  #hasTooMany(owner: Owner): boolean {
    return owner.taken >= OWNER_ROWS_MIN && owner.taken >= this.#mayHave() && this.#owners.othersWait(owner);
  }

  #isReady(owner: Owner): boolean {
    return owner.taken + OWNER_ROWS_AGAIN <= this.#mayHave() || !this.#owners.othersWait(owner);
  }

  #ready(): Ready {
    const owners = new Set<Owner>();
    for (const owner of this.#waiting) if (this.#isReady(owner)) owners.add(owner);
    return { owners, devices: this.#released };
  }

  /** Whether rows that were passed over may be read now. */
  get isReadable(): boolean {
    const { owners, devices } = this.#ready();
    return owners.size + devices.size > 0;
  }

  /** These rows of a device are no longer in flight, and it gets no others until `release`. */
  putBack(device: string, ids: Iterable<number>): void {
    this.#held.add(device);
    this.#released.delete(device);
    for (const id of ids) if (this.#putBackOne(id)) lower(this.#passedOver, device, id);
  }

  #putBackOne(id: number): boolean {
    const owner = this.#inFlight.get(id);
    if (owner === undefined) return false;
    this.#inFlight.delete(id);
    if (id > this.#liveFrom) owner.live -= 1;
    this.#owners.putBack(owner, id);
    return true;
  }

  release(device: string): void {
    this.#held.delete(device);
    if (this.#passedOver.has(device)) this.#released.add(device);
  }

  /** The drain no longer has these rows: they were shipped, evicted or moved to the dead letters. */
  settled(ids: Iterable<number>): void {
    for (const id of ids) {
      const owner = this.#inFlight.get(id);
      if (owner === undefined) continue;
      this.#inFlight.delete(id);
      if (id > this.#liveFrom) owner.live -= 1;
      this.#owners.settle(owner);
    }
  }

  #isTaken(id: number): boolean {
    return this.#inFlight.has(id) || this.#isSettled(id);
  }

  /** A commit has added these rows. */
  accepted(firstId: number, rows: readonly Omit<OwnedRow, 'id'>[]): void {
    let id = firstId;
    for (const { device, data } of rows) {
      this.#owners.add({ id, device, data });
      id += 1;
    }
    this.#lastId = Math.max(this.#lastId, id - 1);
    if (this.#owners.size > OWNERS_KEPT) this.#owners.forgetEmpty();
    this.#countMore(COUNTED_PER_COMMIT);
  }

  /** Counts a row of before the start, if it is not counted yet, and returns its owner. */
  #count(row: OwnedRow): Owner | undefined {
    if (row.id >= this.#firstNewId || row.id <= this.#countedTo) return undefined;
    this.#countedTo = row.id;
    return this.#owners.add(row);
  }

  /** Counts some more of the rows of before the start. True once all are counted: only then are the shares of owners known. */
  countMore(): boolean {
    this.#countMore(COUNTED_PER_COMMIT);
    return this.#countedTo >= this.#firstNewId - 1;
  }

  #countMore(limit: number): void {
    if (this.#countedTo >= this.#firstNewId - 1) return;
    const rows = this.#read(this.#countedTo, this.#firstNewId - 1, limit);
    for (const row of rows) this.#count(row);
    if (rows.length < limit) this.#countedTo = this.#firstNewId - 1;
  }

  /** Rows to evict, at most this many, of about this many bytes: the oldest ones of the owners with the largest shares (eviction.ts). */
  evictable(maxRows: number, bytes: number): Row[] {
    while (!this.countMore());
    const isPassedOver = this.#passedOver.size > 0 || this.#waiting.size > 0 || this.#backlog !== undefined;
    return this.#eviction.rows({ maxRows, bytes }, (id) => this.#isTaken(id), isPassedOver ? 0 : this.#cursor + 1);
  }

  /** A commit has evicted these rows, which were not in flight. */
  evicted(rows: readonly Row[]): void {
    for (const row of rows) this.#owners.remove(this.#owners.of(row), sizeOf(row));
    this.#eviction.done();
  }
}
