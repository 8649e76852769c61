/**
 * The streams on SQLite: streams, shards (open and closed, with their parents), records. A put is committed, with fsync, before it is
 * answered; requests that wait at the same time share a commit (group-commit.ts).
 */
import { createHash } from 'node:crypto';
import { openDatabase, type Database } from '../service/storage/sqlite.ts';
import { inUse, invalidArgument, notFound } from './kinesis-error.ts';
import { Retention, RETENTION_SCHEMA, type Moment } from './retention.ts';

export const MAX_HASH_KEY = 2n ** 128n - 1n;
const HOUR_MS = 3_600_000;

export interface StreamRow {
  id: number;
  name: string;
  created_ms: number;
  retention_hours: number;
  max_record_kib: number;
}
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
}
export interface RecordRow {
  id: number;
  partition_key: string;
  arrived_ms: number;
  data: Buffer;
}

/** The version of the file. A newer one is refused. */
const SCHEMA_VERSION = 1;
const SCHEMA = `
  CREATE TABLE IF NOT EXISTS streams (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, created_ms INTEGER NOT NULL,
    retention_hours INTEGER NOT NULL, max_record_kib INTEGER NOT NULL);
  CREATE TABLE IF NOT EXISTS shards (id INTEGER PRIMARY KEY, stream INTEGER NOT NULL, number INTEGER NOT NULL, start_hash TEXT NOT NULL,
    end_hash TEXT NOT NULL, parent INTEGER, adjacent_parent INTEGER, first_id INTEGER NOT NULL, last_id INTEGER);
  CREATE TABLE IF NOT EXISTS records (shard INTEGER NOT NULL, id INTEGER NOT NULL, partition_key TEXT NOT NULL, arrived_ms INTEGER NOT NULL,
    data BLOB NOT NULL, PRIMARY KEY (shard, id)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS counter (one INTEGER PRIMARY KEY CHECK (one = 1), next_id INTEGER NOT NULL);
  INSERT OR IGNORE INTO counter VALUES (1, 1);
  ${RETENTION_SCHEMA}
`;

/** MD5 of the partition key as a 128-bit number, by which Kinesis routes. */
export function hashKeyOf(partitionKey: string): bigint {
  return BigInt(`0x${createHash('md5').update(partitionKey, 'utf8').digest('hex')}`);
}

export const shardIdOf = (number: number): string => `shardId-${String(number).padStart(12, '0')}`;

export class Store {
  readonly #file: string;
  #database: Database | undefined;
  #retention: Retention | undefined;
  #nextId = 1;
  readonly #shards = new Map<number, ShardRow[]>();
  readonly #streams = new Map<string, StreamRow>();

  constructor(file: string) {
    this.#file = file;
  }

  get #db(): Database {
    if (this.#database === undefined) throw new Error('the store is not open');
    return this.#database;
  }

  open(): void {
    this.#streams.clear();
    this.#shards.clear();
    this.#database = openDatabase(this.#file);
    this.#db.pragma('journal_mode = WAL');
    this.#db.pragma('synchronous = FULL');
    const version = this.#db.pragma('user_version', { simple: true }) as number;
    if (version > SCHEMA_VERSION)
      throw new Error(`the local stream has version ${version}, this program supports up to ${SCHEMA_VERSION}`);
    this.#db.exec(SCHEMA);
    this.#db.pragma(`user_version = ${SCHEMA_VERSION}`);
    this.#nextId = (this.#db.prepare('SELECT next_id FROM counter').get() as { next_id: number }).next_id;
    for (const stream of this.#db.prepare('SELECT * FROM streams').all() as StreamRow[]) this.#streams.set(stream.name, stream);
    for (const stream of this.#streams.values()) this.#loadShards(stream);
    this.#retention = new Retention(this.#db);
  }

  close(): void {
    this.#database?.close();
    this.#database = undefined;
  }

  #loadShards(stream: StreamRow): void {
    const rows = this.#db.prepare('SELECT * FROM shards WHERE stream = ? ORDER BY number').all(stream.id) as (Omit<
      ShardRow,
      'start_hash' | 'end_hash'
    > & { start_hash: string; end_hash: string })[];
    this.#shards.set(
      stream.id,
      rows.map((row) => ({ ...row, start_hash: BigInt(row.start_hash), end_hash: BigInt(row.end_hash) })),
    );
  }

  /** Runs changes as one transaction, with one fsync. */
  transaction<T>(work: () => T): T {
    return this.#db.transaction(work).immediate();
  }

  streamNames(): string[] {
    return [...this.#streams.keys()].sort();
  }

  hasStream(name: string): boolean {
    return this.#streams.has(name);
  }

  stream(name: string): StreamRow {
    const stream = this.#streams.get(name);
    if (stream === undefined) throw notFound(name);
    return stream;
  }

  shards(stream: StreamRow): readonly ShardRow[] {
    return this.#shards.get(stream.id) ?? [];
  }

  openShards(stream: StreamRow): ShardRow[] {
    return this.shards(stream).filter(({ last_id }) => last_id === null);
  }

  shard(stream: StreamRow, shardId: string): ShardRow {
    const shard = this.shards(stream).find(({ number }) => shardIdOf(number) === shardId);
    if (shard === undefined) throw invalidArgumentShard(stream.name, shardId);
    return shard;
  }

  createStream(name: string, shardCount: number): void {
    if (this.#streams.has(name)) throw inUse(`Stream ${name} under account 000000000000 already exists.`);
    this.transaction(() => {
      const created = Date.now();
      const { lastInsertRowid } = this.#db
        .prepare('INSERT INTO streams (name, created_ms, retention_hours, max_record_kib) VALUES (?, ?, 24, 1024)')
        .run(name, created);
      const stream: StreamRow = {
        id: Number(lastInsertRowid),
        name,
        created_ms: created,
        retention_hours: 24,
        max_record_kib: 1024,
      };
      this.#streams.set(name, stream);
      this.#shards.set(stream.id, []);
      for (const [start, end] of evenRanges(shardCount)) this.#addShard(stream, start, end);
    });
  }

  deleteStream(name: string): void {
    const stream = this.stream(name);
    this.transaction(() => {
      for (const shard of this.shards(stream)) this.#db.prepare('DELETE FROM records WHERE shard = ?').run(shard.id);
      this.#db.prepare('DELETE FROM shards WHERE stream = ?').run(stream.id);
      this.#db.prepare('DELETE FROM streams WHERE id = ?').run(stream.id);
    });
    this.#streams.delete(name);
    this.#shards.delete(stream.id);
  }

  #addShard(
    stream: StreamRow,
    start: bigint,
    end: bigint,
    parent: ShardRow | null = null,
    adjacent: ShardRow | null = null,
  ): ShardRow {
    const shards = this.#shards.get(stream.id) ?? [];
    const number = shards.length;
    const { lastInsertRowid } = this.#db
      .prepare(
        'INSERT INTO shards (stream, number, start_hash, end_hash, parent, adjacent_parent, first_id) VALUES (?, ?, ?, ?, ?, ?, ?)',
      )
      .run(stream.id, number, start.toString(), end.toString(), parent?.number ?? null, adjacent?.number ?? null, this.#nextId);
    const shard: ShardRow = {
      id: Number(lastInsertRowid),
      stream: stream.id,
      number,
      start_hash: start,
      end_hash: end,
      parent: parent?.number ?? null,
      adjacent_parent: adjacent?.number ?? null,
      first_id: this.#nextId,
      last_id: null,
    };
    shards.push(shard);
    this.#shards.set(stream.id, shards);
    return shard;
  }

  #closeShard(shard: ShardRow): void {
    shard.last_id = this.#takeId();
    this.#db.prepare('UPDATE shards SET last_id = ? WHERE id = ?').run(shard.last_id, shard.id);
  }

  /** Splits an open shard in two at a hash key. Throws KinesisError. */
  splitShard(stream: StreamRow, shard: ShardRow, at: bigint): void {
    if (shard.last_id !== null) throw invalidArgument(`Shard ${shardIdOf(shard.number)} in stream ${stream.name} is not open.`);
    if (at <= shard.start_hash + 1n || at >= shard.end_hash)
      throw invalidArgument(`NewStartingHashKey ${at} is not within the range of the shard ${shardIdOf(shard.number)}.`);
    this.transaction(() => {
      this.#closeShard(shard);
      this.#addShard(stream, shard.start_hash, at - 1n, shard);
      this.#addShard(stream, at, shard.end_hash, shard);
    });
  }

  /** Merges two open shards with adjacent ranges. Throws KinesisError. */
  mergeShards(stream: StreamRow, shard: ShardRow, adjacent: ShardRow): void {
    for (const one of [shard, adjacent])
      if (one.last_id !== null) throw invalidArgument(`Shard ${shardIdOf(one.number)} in stream ${stream.name} is not open.`);
    const isAdjacent = shard.end_hash + 1n === adjacent.start_hash || adjacent.end_hash + 1n === shard.start_hash;
    if (!isAdjacent)
      throw invalidArgument(
        `Shards ${shardIdOf(shard.number)} and ${shardIdOf(adjacent.number)} in stream ${stream.name} are not an adjacent pair.`,
      );
    this.transaction(() => {
      this.#closeShard(shard);
      this.#closeShard(adjacent);
      const start = shard.start_hash < adjacent.start_hash ? shard.start_hash : adjacent.start_hash;
      const end = shard.end_hash > adjacent.end_hash ? shard.end_hash : adjacent.end_hash;
      this.#addShard(stream, start, end, shard, adjacent);
    });
  }

  /** Replaces all open shards by `count` equal ones: the result of UpdateShardCount's UNIFORM_SCALING, without its intermediate steps. */
  reshard(stream: StreamRow, count: number): void {
    const open = this.openShards(stream).sort((a, b) => (a.start_hash < b.start_hash ? -1 : 1));
    this.transaction(() => {
      for (const shard of open) this.#closeShard(shard);
      for (const [start, end] of evenRanges(count)) {
        const parents = open.filter((shard) => shard.start_hash <= end && shard.end_hash >= start);
        this.#addShard(stream, start, end, parents[0] ?? null, parents[1] ?? null);
      }
    });
  }

  setRetention(stream: StreamRow, hours: number): void {
    this.#db.prepare('UPDATE streams SET retention_hours = ? WHERE id = ?').run(hours, stream.id);
    stream.retention_hours = hours;
  }

  setMaxRecordKib(stream: StreamRow, kib: number): void {
    this.#db.prepare('UPDATE streams SET max_record_kib = ? WHERE id = ?').run(kib, stream.id);
    stream.max_record_kib = kib;
  }

  #takeId(): number {
    const id = this.#nextId;
    this.#nextId += 1;
    return id;
  }

  /** Adds records and saves the id counter. Call it inside a transaction. Returns the ids of the records. */
  append(records: readonly { shard: ShardRow; partitionKey: string; data: Buffer }[]): number[] {
    const insert = this.#db.prepare('INSERT INTO records (shard, id, partition_key, arrived_ms, data) VALUES (?, ?, ?, ?, ?)');
    const now = Date.now();
    const ids = records.map(({ shard, partitionKey, data }) => {
      const id = this.#takeId();
      insert.run(shard.id, id, partitionKey, now, data);
      return id;
    });
    this.#db.prepare('UPDATE counter SET next_id = ?').run(this.#nextId);
    return ids;
  }

  get nextId(): number {
    return this.#nextId;
  }

  /** Records of a shard from an id on, in order, within the limits; the first one is returned even if it exceeds `maxBytes`. */
  read(shard: ShardRow, fromId: number, limits: { maxRecords: number; maxBytes: number }): RecordRow[] {
    const rows: RecordRow[] = [];
    let bytes = 0;
    for (const row of this.#db
      .prepare('SELECT id, partition_key, arrived_ms, data FROM records WHERE shard = ? AND id >= ? ORDER BY id LIMIT ?')
      .iterate(shard.id, fromId, limits.maxRecords) as IterableIterator<RecordRow>) {
      bytes += row.data.length;
      if (rows.length > 0 && bytes > limits.maxBytes) break;
      rows.push(row);
    }
    return rows;
  }

  /** The first record id of a shard at or after a time, or else the id that the next record will get. */
  firstIdSince(shard: ShardRow, sinceMs: number): number {
    const row = this.#db
      .prepare('SELECT id FROM records WHERE shard = ? AND arrived_ms >= ? ORDER BY id LIMIT 1')
      .get(shard.id, sinceMs) as { id: number } | undefined;
    return row?.id ?? this.#nextId;
  }

  /** When the newest record of a shard arrived (ms since the epoch), or undefined if the shard is empty. */
  newestArrival(shard: ShardRow): number | undefined {
    const row = this.#db.prepare('SELECT arrived_ms FROM records WHERE shard = ? ORDER BY id DESC LIMIT 1').get(shard.id) as
      { arrived_ms: number } | undefined;
    return row?.arrived_ms;
  }

  /**
   * Deletes records older than their stream's retention (retention.ts), at most 5,000 per shard and call. Returns how many. Call it at
   * least every minute: it also advances the clock by which records age.
   */
  trim(now: Moment): number {
    if (this.#retention === undefined) throw new Error('the store is not open');
    this.#retention.advance(now, this.#nextId);
    let removed = 0;
    for (const stream of this.#streams.values()) {
      const beforeId = this.#retention.firstIdYoungerThan(stream.retention_hours * HOUR_MS);
      for (const shard of this.shards(stream))
        removed += this.#db
          .prepare(
            'DELETE FROM records WHERE shard = ? AND id IN (SELECT id FROM records WHERE shard = ? AND id < ? ORDER BY id LIMIT 5000)',
          )
          .run(shard.id, shard.id, beforeId).changes;
    }
    this.#retention.forget(Math.max(24, ...[...this.#streams.values()].map((stream) => stream.retention_hours)) * HOUR_MS);
    return removed;
  }
}

function invalidArgumentShard(stream: string, shardId: string): Error {
  return Object.assign(notFound(stream), {
    message: `Shard ${shardId} in stream ${stream} under account 000000000000 does not exist`,
  });
}

function evenRanges(count: number): [bigint, bigint][] {
  const size = (MAX_HASH_KEY + 1n) / BigInt(count);
  return Array.from({ length: count }, (_, index) => [
    BigInt(index) * size,
    index === count - 1 ? MAX_HASH_KEY : BigInt(index + 1) * size - 1n,
  ]);
}
