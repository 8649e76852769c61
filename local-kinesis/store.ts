/**
 * The streams on SQLite: streams, shards (shards.ts), records. A put is committed, with fsync, before it is answered; requests that wait
 * at the same time share a commit (group-commit.ts).
 */
import { createHash } from 'node:crypto';
import { openDatabase, type Database } from '../service/storage/sqlite.ts';
import { inUse, notFound, noShard } from './kinesis-error.ts';
import { Retention, RETENTION_SCHEMA, type Moment } from './retention.ts';
import { shardIdOf, Shards, SHARDS_SCHEMA, type ShardRow } from './shards.ts';

const HOUR_MS = 3_600_000;

export interface StreamRow {
  id: number;
  name: string;
  created_ms: number;
  retention_hours: number;
  max_record_kib: number;
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
  ${SHARDS_SCHEMA}
  CREATE TABLE IF NOT EXISTS records (shard INTEGER NOT NULL, id INTEGER NOT NULL, partition_key TEXT NOT NULL, arrived_ms INTEGER NOT NULL,
    data BLOB NOT NULL, PRIMARY KEY (shard, id)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS counter (one INTEGER PRIMARY KEY CHECK (one = 1), next_id INTEGER NOT NULL);
  INSERT OR IGNORE INTO counter VALUES (1, 1);
  CREATE TABLE IF NOT EXISTS scalings (stream INTEGER NOT NULL, at_ms INTEGER NOT NULL);
  ${RETENTION_SCHEMA}
`;

/** MD5 of the partition key as a 128-bit number, by which Kinesis routes. */
export function hashKeyOf(partitionKey: string): bigint {
  return BigInt(`0x${createHash('md5').update(partitionKey, 'utf8').digest('hex')}`);
}

interface Opened {
  db: Database;
  retention: Retention;
  shards: Shards;
}

export class Store {
  readonly #file: string;
  #opened: Opened | undefined;
  #nextId = 1;
  #savedNextId = 1;
  readonly #streams = new Map<string, StreamRow>();

  constructor(file: string) {
    this.#file = file;
  }

  get #open(): Opened {
    if (this.#opened === undefined) throw new Error('the store is not open');
    return this.#opened;
  }

  get #db(): Database {
    return this.#open.db;
  }

  open(): void {
    const db = openDatabase(this.#file);
    try {
      db.pragma('journal_mode = WAL');
      db.pragma('synchronous = FULL');
      const version = db.pragma('user_version', { simple: true }) as number;
      if (version > SCHEMA_VERSION)
        throw new Error(`the local stream has version ${version}, this program supports up to ${SCHEMA_VERSION}`);
      db.exec(SCHEMA);
      db.pragma(`user_version = ${SCHEMA_VERSION}`);
      this.#opened = { db, retention: new Retention(db), shards: this.#load(db) };
    } catch (error) {
      db.close();
      throw error;
    }
  }

  close(): void {
    this.#opened?.db.close();
    this.#opened = undefined;
  }

  /** Reads the streams, their shards and the id counter from the file. */
  #load(db: Database): Shards {
    const shards = new Shards(db, { next: () => this.#nextId, take: () => this.#takeId() });
    const { saved, used } = db
      .prepare('SELECT next_id AS saved, (SELECT max(max(first_id, coalesce(last_id + 1, 0))) FROM shards) AS used FROM counter')
      .get() as { saved: number; used: number | null };
    this.#savedNextId = saved;
    // A program before 1.1 did not save the counter when it closed shards.
    this.#nextId = Math.max(saved, used ?? 0);
    this.#streams.clear();
    for (const stream of db.prepare('SELECT * FROM streams').all() as StreamRow[]) {
      this.#streams.set(stream.name, stream);
      shards.load(stream);
    }
    return shards;
  }

  /** Runs changes as one transaction, with one fsync. If it fails, nothing has changed. */
  transaction<T>(work: () => T): T {
    const { db } = this.#open;
    try {
      return db
        .transaction(() => {
          const result = work();
          if (this.#nextId !== this.#savedNextId) db.prepare('UPDATE counter SET next_id = ?').run(this.#nextId);
          this.#savedNextId = this.#nextId;
          return result;
        })
        .immediate();
    } catch (error) {
      this.#opened = { ...this.#open, shards: this.#load(db) };
      throw error;
    }
  }

  streamNames(): string[] {
    return [...this.#streams.keys()].sort();
  }

  hasStream(name: string): boolean {
    return this.#streams.has(name);
  }

  /** Throws ResourceNotFoundException. */
  stream(name: string): StreamRow {
    const stream = this.#streams.get(name);
    if (stream === undefined) throw notFound(name);
    return stream;
  }

  shards(stream: StreamRow): readonly ShardRow[] {
    return this.#open.shards.of(stream);
  }

  openShards(stream: StreamRow): ShardRow[] {
    return this.#open.shards.open(stream);
  }

  /** The open shards of all streams. */
  get openShardCount(): number {
    return this.#open.shards.openCount;
  }

  /** Throws ResourceNotFoundException. */
  shard(stream: StreamRow, shardId: string): ShardRow {
    const shard = this.shards(stream).find(({ number }) => shardIdOf(number) === shardId);
    if (shard === undefined) throw noShard(stream.name, shardId);
    return shard;
  }

  /** Throws ResourceInUseException. */
  createStream(name: string, shardCount: number, maxRecordKib = 1024): void {
    if (this.#streams.has(name)) throw inUse(`Stream ${name} under account 000000000000 already exists.`);
    this.transaction(() => {
      const created = Date.now();
      const { lastInsertRowid } = this.#db
        .prepare('INSERT INTO streams (name, created_ms, retention_hours, max_record_kib) VALUES (?, ?, 24, ?)')
        .run(name, created, maxRecordKib);
      const id = Number(lastInsertRowid);
      const stream: StreamRow = { id, name, created_ms: created, retention_hours: 24, max_record_kib: maxRecordKib };
      this.#streams.set(name, stream);
      this.#open.shards.create(stream, shardCount);
    });
  }

  deleteStream(stream: StreamRow): void {
    this.transaction(() => {
      for (const shard of this.shards(stream)) this.#db.prepare('DELETE FROM records WHERE shard = ?').run(shard.id);
      this.#open.shards.remove(stream);
      this.#db.prepare('DELETE FROM scalings WHERE stream = ?').run(stream.id);
      this.#db.prepare('DELETE FROM streams WHERE id = ?').run(stream.id);
      this.#streams.delete(stream.name);
    });
  }

  /** Splits an open shard in two at a hash key. Throws KinesisError. */
  splitShard(stream: StreamRow, shard: ShardRow, at: bigint): void {
    this.transaction(() => this.#open.shards.split(stream, shard, at));
  }

  /** Merges two open shards with adjacent ranges. Throws KinesisError. */
  mergeShards(stream: StreamRow, shard: ShardRow, adjacent: ShardRow): void {
    this.transaction(() => this.#open.shards.merge(stream, shard, adjacent));
  }

  /** Makes `count` equal shards of the open ones, by splits and merges. */
  scale(stream: StreamRow, count: number): void {
    this.transaction(() => {
      this.#open.shards.scale(stream, count);
      this.#db.prepare('INSERT INTO scalings VALUES (?, ?)').run(stream.id, Date.now());
    });
  }

  /** How often `scale` was called for a stream within this time. */
  scalingsWithin(stream: StreamRow, ms: number): number {
    return this.#db
      .prepare('SELECT count(*) FROM scalings WHERE stream = ? AND at_ms > ?')
      .pluck()
      .get(stream.id, Date.now() - ms) as number;
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

  /** Adds records. Call it inside a transaction. Returns the ids of the records. */
  append(records: readonly { shard: ShardRow; partitionKey: string; data: Buffer }[]): number[] {
    const insert = this.#db.prepare('INSERT INTO records (shard, id, partition_key, arrived_ms, data) VALUES (?, ?, ?, ?, ?)');
    const now = Date.now();
    return records.map(({ shard, partitionKey, data }) => {
      const id = this.#takeId();
      insert.run(shard.id, id, partitionKey, now, data);
      return id;
    });
  }

  get nextId(): number {
    return this.#nextId;
  }

  /** The trim horizon of a stream: records with a lower id are expired. */
  horizonId(stream: StreamRow): number {
    return this.#open.retention.firstIdYoungerThan(stream.retention_hours * HOUR_MS);
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
   * least every minute: it also advances the clock by which records age. Closed shards are removed once all their records are expired.
   */
  trim(now: Moment): number {
    const { db, retention, shards } = this.#open;
    retention.advance(now, this.#nextId);
    let removed = 0;
    for (const stream of this.#streams.values()) {
      const beforeId = this.horizonId(stream);
      for (const shard of this.shards(stream))
        removed += db
          .prepare(
            'DELETE FROM records WHERE shard = ? AND id IN (SELECT id FROM records WHERE shard = ? AND id < ? ORDER BY id LIMIT 5000)',
          )
          .run(shard.id, shard.id, beforeId).changes;
      shards.removeExpired(stream, beforeId);
    }
    retention.forget(Math.max(24, ...[...this.#streams.values()].map((stream) => stream.retention_hours)) * HOUR_MS);
    return removed;
  }
}
