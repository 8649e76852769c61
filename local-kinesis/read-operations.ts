/** GetShardIterator and GetRecords. */
import { dryRun, invalidArgument } from './kinesis-error.ts';
import { ShardLimits } from './limits.ts';
import { shardRateExceeded, type RequestRates } from './request-rates.ts';
import { idOfSequenceNumber, sequenceNumberOf } from './sequence-numbers.ts';
import { iteratorOf, positionOf } from './shard-iterator.ts';
import { shardIdOf, type ShardRow } from './shards.ts';
import type { Store } from './store.ts';
import { nameOfArn, streamOf } from './stream-names.ts';
import { Blob, Timestamp } from './wire/wire.ts';
import type { RequestOf } from './wire/requests.ts';

const READ_BYTES_MAX = 10 * 1024 * 1024;
const READ_RECORDS_MAX = 10_000;

export class ReadOperations {
  readonly #store: Store;
  readonly #rates: RequestRates;
  readonly #enforce: boolean;
  readonly #limits = new Map<number, ShardLimits>();

  constructor(options: { store: Store; rates: RequestRates; enforceLimits: boolean }) {
    this.#store = options.store;
    this.#rates = options.rates;
    this.#enforce = options.enforceLimits;
  }

  getShardIterator(input: RequestOf<'GetShardIterator'>): object {
    const stream = streamOf(this.#store, input);
    const shard = this.#store.shard(stream, input.ShardId);
    this.#rates.countShardCall('GetShardIterator', stream.name, shardIdOf(shard.number));
    const from = this.#firstId(shard, input);
    if (input.DryRun === true) throw dryRun();
    return { ShardIterator: iteratorOf({ stream: stream.name, createdMs: stream.created_ms, shard: shard.number, from }) };
  }

  #firstId(shard: ShardRow, input: RequestOf<'GetShardIterator'>): number {
    const { ShardIteratorType: type, StartingSequenceNumber: number, Timestamp: ms } = input;
    const bySequence = type === 'AT_SEQUENCE_NUMBER' || type === 'AFTER_SEQUENCE_NUMBER';
    if (bySequence !== (number !== undefined))
      throw invalidArgument(
        'Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and StartingSequenceNumber or (2) another type and no ' +
          `StartingSequenceNumber. Request specified ${type} and ${number === undefined ? 'no' : 'also a'} StartingSequenceNumber.`,
      );
    if ((type === 'AT_TIMESTAMP') !== (ms !== undefined))
      throw invalidArgument(
        `Timestamp must be specified for an iterator of type AT_TIMESTAMP, and for no other. Request specified ${type}.`,
      );
    if (number !== undefined) {
      const id = this.#idIn(shard, number);
      return type === 'AFTER_SEQUENCE_NUMBER' ? id + 1 : id;
    }
    if (ms !== undefined) return this.#store.firstIdSince(shard, ms);
    return type === 'LATEST' ? this.#store.nextId : shard.first_id;
  }

  #idIn(shard: ShardRow, number: string): number {
    const id = idOfSequenceNumber(number);
    const last = shard.last_id ?? Math.max(shard.first_id, this.#store.nextId - 1);
    if (id === undefined || id < shard.first_id || id > last)
      throw invalidArgument(
        `StartingSequenceNumber ${number} used in GetShardIterator on shard ${shardIdOf(shard.number)} is invalid because it did not ` +
          'come from this shard.',
      );
    return id;
  }

  getRecords(input: RequestOf<'GetRecords'>): object {
    const position = positionOf(input.ShardIterator);
    const limit = input.Limit ?? READ_RECORDS_MAX;
    if (limit > READ_RECORDS_MAX) throw invalidArgument(`Limit must be at most ${READ_RECORDS_MAX}, not ${limit}.`);
    const stream = this.#store.stream(position.stream);
    if (stream.created_ms !== position.createdMs) throw invalidArgument('The ShardIterator is of a stream that was deleted.');
    if (input.StreamARN !== undefined && nameOfArn(input.StreamARN) !== stream.name)
      throw invalidArgument(`The ShardIterator is not of the stream ${input.StreamARN}.`);
    const shard = this.#store.shard(stream, shardIdOf(position.shard));
    if (input.DryRun === true) throw dryRun();
    const limits = this.#limitsOf(shard);
    if (this.#enforce && !limits.admitsRead()) throw shardRateExceeded(stream.name, shardIdOf(shard.number));
    const rows = this.#store.read(shard, position.from, { maxRecords: limit, maxBytes: READ_BYTES_MAX });
    limits.chargeRead(rows.reduce((sum, row) => sum + row.data.length, 0));
    const last = rows.at(-1);
    const next = last === undefined ? position.from : last.id + 1;
    const isAtTip = this.#store.read(shard, next, { maxRecords: 1, maxBytes: 1 }).length === 0;
    const ended = shard.last_id !== null && isAtTip;
    const newest = this.#store.newestArrival(shard);
    const children = ended ? this.#childrenOf(shard, this.#store.shards(stream)) : [];
    return {
      Records: rows.map((row) => ({
        SequenceNumber: sequenceNumberOf(row.id),
        ApproximateArrivalTimestamp: new Timestamp(row.arrived_ms),
        Data: new Blob(row.data),
        PartitionKey: row.partition_key,
        EncryptionType: 'NONE',
      })),
      ...(ended ? {} : { NextShardIterator: iteratorOf({ ...position, from: next }) }),
      MillisBehindLatest: isAtTip || last === undefined || newest === undefined ? 0 : Math.max(1, newest - last.arrived_ms),
      ...(children.length === 0 ? {} : { ChildShards: children }),
    };
  }

  #limitsOf(shard: ShardRow): ShardLimits {
    let limits = this.#limits.get(shard.id);
    if (limits === undefined) this.#limits.set(shard.id, (limits = new ShardLimits()));
    return limits;
  }

  #childrenOf({ number }: ShardRow, shards: readonly ShardRow[]): object[] {
    return shards
      .filter(({ parent, adjacent_parent }) => parent === number || adjacent_parent === number)
      .map((child) => ({
        ShardId: shardIdOf(child.number),
        ParentShards: [child.parent, child.adjacent_parent].flatMap((parent) => (parent === null ? [] : [shardIdOf(parent)])),
        HashKeyRange: { StartingHashKey: child.start_hash.toString(), EndingHashKey: child.end_hash.toString() },
      }));
  }
}
