/**
 * The shards of the streams, open and closed, with their parents. Invariant: at every record id and at every millisecond the shards that
 * were open then cover each hash key exactly once, and each shard's parents are complete. All that is done to shards is a split or a merge
 * of two: UpdateShardCount is a sequence of these, with short-lived shards between, as in Kinesis.
 */
import type { Database } from '../service/storage/sqlite.ts';
import { invalidArgument, type KinesisError } from './kinesis-error.ts';

export const MAX_HASH_KEY = 2n ** 128n - 1n;

export interface ShardRow {
  id: number;
  stream: number;
  number: number;
  start_hash: bigint;
  end_hash: bigint;
  parent: number | null;
  adjacent_parent: number | null;
  /** The first record id that this shard may contain. */
  first_id: number;
  /** The last record id, fixed when the shard was closed; null while it is open. */
  last_id: number | null;
  /** The first ms (since the epoch) in which the shard was open. */
  created_ms: number;
  /** The last ms in which the shard was open; null while it is open. */
  closed_ms: number | null;
}

export const SHARDS_SCHEMA = `
  CREATE TABLE IF NOT EXISTS shards (id INTEGER PRIMARY KEY, stream INTEGER NOT NULL, number INTEGER NOT NULL, start_hash TEXT NOT NULL,
    end_hash TEXT NOT NULL, parent INTEGER, adjacent_parent INTEGER, first_id INTEGER NOT NULL, last_id INTEGER);
`;

export const shardIdOf = (number: number): string => `shardId-${String(number).padStart(12, '0')}`;

/** What shards need of a stream. */
export interface ShardedStream {
  id: number;
  name: string;
  created_ms: number;
}

/** The counter of record ids. */
export interface RecordIds {
  /** The id that the next record will get. */
  next(): number;
  take(): number;
}

interface StoredShard extends Omit<ShardRow, 'start_hash' | 'end_hash' | 'created_ms'> {
  start_hash: string;
  end_hash: string;
  created_ms: number | null;
}

/** The starts of `count` equal ranges of hash keys. */
function evenStarts(count: number): bigint[] {
  const size = (MAX_HASH_KEY + 1n) / BigInt(count);
  return Array.from({ length: count }, (_, index) => BigInt(index) * size);
}

const byStart = (a: ShardRow, b: ShardRow): number => (a.start_hash < b.start_hash ? -1 : 1);

export class Shards {
  readonly #db: Database;
  readonly #ids: RecordIds;
  readonly #ofStream = new Map<number, ShardRow[]>();

  /** The table must exist. Call `load` for each stream, and change shards within a transaction. */
  constructor(database: Database, ids: RecordIds) {
    this.#db = database;
    this.#ids = ids;
    // Added in 1.1. An older program ignores the columns and leaves them empty: `load` fills them in.
    const columns = new Set((database.prepare('PRAGMA table_info(shards)').all() as { name: string }[]).map(({ name }) => name));
    for (const column of ['created_ms', 'closed_ms'])
      if (!columns.has(column)) database.exec(`ALTER TABLE shards ADD COLUMN ${column} INTEGER`);
  }

  load(stream: ShardedStream): void {
    const rows = this.#db.prepare('SELECT * FROM shards WHERE stream = ? ORDER BY number').all(stream.id) as StoredShard[];
    const shards = rows.map((row): ShardRow => ({
      ...row,
      start_hash: BigInt(row.start_hash),
      end_hash: BigInt(row.end_hash),
      created_ms: row.created_ms ?? this.#estimatedCreation(stream, row, rows),
    }));
    for (const shard of shards) {
      const children = shards.filter(({ parent, adjacent_parent }) => [parent, adjacent_parent].includes(shard.number));
      if (shard.last_id !== null && shard.closed_ms === null)
        shard.closed_ms = Math.max(shard.created_ms, Math.min(...children.map(({ created_ms }) => created_ms - 1)));
    }
    this.#ofStream.set(stream.id, shards);
  }

  /** When a shard of an older program was created: not after its first record, and after its parents. */
  #estimatedCreation(stream: ShardedStream, row: StoredShard, rows: readonly StoredShard[]): number {
    if (row.parent === null) return stream.created_ms;
    const { first } = this.#db.prepare('SELECT min(arrived_ms) AS first FROM records WHERE shard = ?').get(row.id) as {
      first: number | null;
    };
    const parents = rows.filter(({ number }) => number === row.parent || number === row.adjacent_parent);
    const created = parents.map((parent) => parent.created_ms ?? this.#estimatedCreation(stream, parent, rows));
    return Math.max(first ?? stream.created_ms, ...created.map((ms) => ms + 1));
  }

  of(stream: ShardedStream): readonly ShardRow[] {
    return this.#ofStream.get(stream.id) ?? [];
  }

  open(stream: ShardedStream): ShardRow[] {
    return this.of(stream).filter(({ last_id }) => last_id === null);
  }

  /** The open shards of all streams. */
  get openCount(): number {
    let count = 0;
    for (const shards of this.#ofStream.values()) count += shards.filter(({ last_id }) => last_id === null).length;
    return count;
  }

  create(stream: ShardedStream, count: number): void {
    const starts = evenStarts(count);
    for (const [index, start] of starts.entries())
      this.#add(stream, { start, end: (starts[index + 1] ?? MAX_HASH_KEY + 1n) - 1n, parents: [], createdMs: stream.created_ms });
  }

  remove(stream: ShardedStream): void {
    this.#db.prepare('DELETE FROM shards WHERE stream = ?').run(stream.id);
    this.#ofStream.delete(stream.id);
  }

  #add(
    stream: ShardedStream,
    { start, end, parents, createdMs }: { start: bigint; end: bigint; parents: readonly ShardRow[]; createdMs: number },
  ): ShardRow {
    const shards = this.#ofStream.get(stream.id) ?? [];
    const row = {
      stream: stream.id,
      number: (shards.at(-1)?.number ?? -1) + 1,
      parent: parents[0]?.number ?? null,
      adjacent_parent: parents[1]?.number ?? null,
      first_id: this.#ids.next(),
      created_ms: createdMs,
    };
    const { lastInsertRowid } = this.#db
      .prepare(
        `INSERT INTO shards (stream, number, start_hash, end_hash, parent, adjacent_parent, first_id, created_ms)
         VALUES (@stream, @number, @start, @end, @parent, @adjacent_parent, @first_id, @created_ms)`,
      )
      .run({ ...row, start: start.toString(), end: end.toString() });
    const shard = { ...row, id: Number(lastInsertRowid), start_hash: start, end_hash: end, last_id: null, closed_ms: null };
    shards.push(shard);
    this.#ofStream.set(stream.id, shards);
    return shard;
  }

  /** Closes shards at one record id and in one ms; their children are open from the next ones on. Returns the children's first ms. */
  #close(shards: readonly ShardRow[]): number {
    const lastId = this.#ids.take();
    const closedMs = Math.max(Date.now(), ...shards.map(({ created_ms }) => created_ms));
    for (const shard of shards) {
      shard.last_id = lastId;
      shard.closed_ms = closedMs;
      this.#db.prepare('UPDATE shards SET last_id = ?, closed_ms = ? WHERE id = ?').run(lastId, closedMs, shard.id);
    }
    return closedMs + 1;
  }

  #halve(stream: ShardedStream, shard: ShardRow, at: bigint): [ShardRow, ShardRow] {
    const createdMs = this.#close([shard]);
    return [
      this.#add(stream, { start: shard.start_hash, end: at - 1n, parents: [shard], createdMs }),
      this.#add(stream, { start: at, end: shard.end_hash, parents: [shard], createdMs }),
    ];
  }

  #join(stream: ShardedStream, shard: ShardRow, adjacent: ShardRow): ShardRow {
    const createdMs = this.#close([shard, adjacent]);
    const start = shard.start_hash < adjacent.start_hash ? shard.start_hash : adjacent.start_hash;
    const end = shard.end_hash > adjacent.end_hash ? shard.end_hash : adjacent.end_hash;
    return this.#add(stream, { start, end, parents: [shard, adjacent], createdMs });
  }

  /** Splits an open shard in two at a hash key. Throws InvalidArgumentException. */
  split(stream: ShardedStream, shard: ShardRow, at: bigint): void {
    if (shard.last_id !== null) throw notOpen(stream, shard);
    if (at <= shard.start_hash + 1n || at >= shard.end_hash)
      throw invalidArgument(
        `NewStartingHashKey ${at} used in SplitShard() on shard ${shardIdOf(shard.number)} in stream ${stream.name} under account ` +
          "000000000000 is not both greater than one plus the shard's StartingHashKey " +
          `${shard.start_hash} and less than the shard's EndingHashKey ${shard.end_hash - 1n}.`,
      );
    this.#halve(stream, shard, at);
  }

  /** Merges two open shards with adjacent ranges. Throws InvalidArgumentException. */
  merge(stream: ShardedStream, shard: ShardRow, adjacent: ShardRow): void {
    for (const one of [shard, adjacent]) if (one.last_id !== null) throw notOpen(stream, one);
    const isAdjacent = shard.end_hash + 1n === adjacent.start_hash || adjacent.end_hash + 1n === shard.start_hash;
    if (!isAdjacent)
      throw invalidArgument(
        `Shards ${shardIdOf(shard.number)} and ${shardIdOf(adjacent.number)} in stream ${stream.name} are not an adjacent pair.`,
      );
    this.#join(stream, shard, adjacent);
  }

  /**
   * Makes `count` equal shards of the open ones (UNIFORM_SCALING): open shards are split wherever a new range begins inside of them, then
   * merged in pairs within each new range. A shard that has its new range already stays open.
   */
  scale(stream: ShardedStream, count: number): void {
    const starts = evenStarts(count);
    const pieces: ShardRow[] = [];
    let next = 0;
    for (const shard of this.open(stream).sort(byStart)) {
      let rest = shard;
      for (let start = starts[next]; start !== undefined && start <= shard.end_hash; start = starts[(next += 1)]) {
        if (start === rest.start_hash) continue;
        const [piece, after] = this.#halve(stream, rest, start);
        pieces.push(piece);
        rest = after;
      }
      pieces.push(rest);
    }
    const isStart = new Set(starts);
    let range: ShardRow | undefined;
    for (const piece of pieces)
      range = range === undefined || isStart.has(piece.start_hash) ? piece : this.#join(stream, range, piece);
  }

  /** Removes closed shards whose records are all expired: those with lower ids are. Returns how many. */
  removeExpired(stream: ShardedStream, beforeId: number): number {
    const expired = this.#db
      .prepare(
        'SELECT id FROM shards WHERE stream = ? AND last_id < ? AND NOT EXISTS (SELECT 1 FROM records WHERE shard = shards.id)',
      )
      .pluck()
      .all(stream.id, beforeId) as number[];
    for (const id of expired) this.#db.prepare('DELETE FROM shards WHERE id = ?').run(id);
    if (expired.length > 0)
      this.#ofStream.set(
        stream.id,
        this.of(stream).filter(({ id }) => !expired.includes(id)),
      );
    return expired.length;
  }
}

const notOpen = (stream: ShardedStream, shard: ShardRow): KinesisError =>
  invalidArgument(`Shard ${shardIdOf(shard.number)} in stream ${stream.name} under account 000000000000 is not open.`);
