/** The operations of the local stream, by their Kinesis names. */
import type { Faults } from './faults.ts';
import type { GroupCommit } from './group-commit.ts';
import { integer, optionalText, streamName, text, type Input } from './input.ts';
import { invalidArgument, inUse, KinesisError, throttled } from './kinesis-error.ts';
import { ShardLimits } from './limits.ts';
import { PutOperations } from './put-operations.ts';
import { idOfSequenceNumber, sequenceNumberOf } from './sequence-numbers.ts';
import { iteratorOf, positionOf } from './shard-iterator.ts';
import { shardIdOf, type ShardRow, type Store, type StreamRow } from './store.ts';

const READ_BYTES_MAX = 10 * 1024 * 1024;
const STREAMS_MAX = 50;
const SHARDS_MAX = 500;

const arnOf = (name: string): string => `arn:aws:kinesis:us-east-1:000000000000:stream/${name}`;

type Operation = (input: Input) => Promise<object> | object;

export class Operations {
  readonly #store: Store;
  readonly #puts: PutOperations;
  readonly #enforce: boolean;
  readonly #reads = new Map<number, ShardLimits>();
  readonly #table: ReadonlyMap<string, Operation>;

  constructor(options: { store: Store; commit: GroupCommit; faults: Faults; enforceLimits: boolean }) {
    this.#store = options.store;
    this.#puts = new PutOperations(options);
    this.#enforce = options.enforceLimits;
    this.#table = new Map<string, Operation>([
      ['CreateStream', (input) => this.#createStream(input)],
      ['DeleteStream', (input) => this.#deleteStream(input)],
      ['DescribeStream', (input) => this.#describeStream(input)],
      ['DescribeStreamSummary', (input) => this.#describeSummary(input)],
      ['ListStreams', (input) => this.#listStreams(input)],
      ['ListShards', (input) => this.#listShards(input)],
      ['PutRecord', (input) => this.#puts.putRecord(input)],
      ['PutRecords', (input) => this.#puts.putRecords(input)],
      ['GetShardIterator', (input) => this.#getShardIterator(input)],
      ['GetRecords', (input) => this.#getRecords(input)],
      ['SplitShard', (input) => this.#splitShard(input)],
      ['MergeShards', (input) => this.#mergeShards(input)],
      ['UpdateShardCount', (input) => this.#updateShardCount(input)],
      ['IncreaseStreamRetentionPeriod', (input) => this.#setRetention(input, 1)],
      ['DecreaseStreamRetentionPeriod', (input) => this.#setRetention(input, -1)],
      ['UpdateMaxRecordSize', (input) => this.#updateMaxRecordSize(input)],
    ]);
  }

  /** Runs one operation. Throws KinesisError. */
  async run(name: string, input: Input): Promise<object> {
    const operation = this.#table.get(name);
    if (operation === undefined)
      throw new KinesisError('UnknownOperationException', `The local stream does not support ${name}.`);
    return await operation(input);
  }

  #createStream(input: Input): object {
    const name = text(input, 'StreamName');
    if (!/^[a-zA-Z0-9_.-]{1,128}$/.test(name)) throw invalidArgument('StreamName must be 1-128 of letters, digits, _ . -');
    const shards = integer(input, 'ShardCount', { min: 1, max: SHARDS_MAX, otherwise: 1 });
    if (this.#store.streamNames().length >= STREAMS_MAX) throw new KinesisError('LimitExceededException', 'Too many streams.');
    this.#store.createStream(name, shards);
    return {};
  }

  #deleteStream(input: Input): object {
    this.#store.deleteStream(streamName(input));
    return {};
  }

  #shardDescription(shard: ShardRow): object {
    const parents = [shard.parent, shard.adjacent_parent].map((number) => (number === null ? undefined : shardIdOf(number)));
    return {
      ShardId: shardIdOf(shard.number),
      ...(parents[0] === undefined ? {} : { ParentShardId: parents[0] }),
      ...(parents[1] === undefined ? {} : { AdjacentParentShardId: parents[1] }),
      HashKeyRange: { StartingHashKey: shard.start_hash.toString(), EndingHashKey: shard.end_hash.toString() },
      SequenceNumberRange: {
        StartingSequenceNumber: sequenceNumberOf(shard.first_id),
        ...(shard.last_id === null ? {} : { EndingSequenceNumber: sequenceNumberOf(shard.last_id) }),
      },
    };
  }

  #commonDescription(stream: StreamRow): object {
    return {
      StreamName: stream.name,
      StreamARN: arnOf(stream.name),
      StreamStatus: 'ACTIVE',
      StreamModeDetails: { StreamMode: 'PROVISIONED' },
      RetentionPeriodHours: stream.retention_hours,
      StreamCreationTimestamp: stream.created_ms / 1000,
      EnhancedMonitoring: [{ ShardLevelMetrics: [] }],
      EncryptionType: 'NONE',
    };
  }

  #describeStream(input: Input): object {
    const stream = this.#store.stream(streamName(input));
    const after = optionalText(input, 'ExclusiveStartShardId');
    const limit = integer(input, 'Limit', { min: 1, max: 10_000, otherwise: 100 });
    const shards = this.#store.shards(stream).filter((shard) => after === undefined || shardIdOf(shard.number) > after);
    return {
      StreamDescription: {
        ...this.#commonDescription(stream),
        HasMoreShards: shards.length > limit,
        Shards: shards.slice(0, limit).map((shard) => this.#shardDescription(shard)),
      },
    };
  }

  #describeSummary(input: Input): object {
    const stream = this.#store.stream(streamName(input));
    return {
      StreamDescriptionSummary: {
        ...this.#commonDescription(stream),
        OpenShardCount: this.#store.openShards(stream).length,
        ConsumerCount: 0,
        MaxRecordSizeInKiB: stream.max_record_kib,
      },
    };
  }

  #listStreams(input: Input): object {
    const after = optionalText(input, 'ExclusiveStartStreamName') ?? optionalText(input, 'NextToken') ?? '';
    const limit = integer(input, 'Limit', { min: 1, max: 10_000, otherwise: 100 });
    const names = this.#store.streamNames().filter((name) => name > after);
    const page = names.slice(0, limit);
    return {
      StreamNames: page,
      HasMoreStreams: names.length > limit,
      ...(names.length > limit ? { NextToken: page.at(-1) } : {}),
      StreamSummaries: page.map((name) => ({
        StreamName: name,
        StreamARN: arnOf(name),
        StreamStatus: 'ACTIVE',
        StreamModeDetails: { StreamMode: 'PROVISIONED' },
        StreamCreationTimestamp: this.#store.stream(name).created_ms / 1000,
      })),
    };
  }

  #listShards(input: Input): object {
    const token = optionalText(input, 'NextToken');
    const [name, afterToken] =
      token === undefined
        ? [streamName(input), undefined]
        : (Buffer.from(token, 'base64').toString().split('\n') as [string, string | undefined]);
    const stream = this.#store.stream(name);
    const after = afterToken ?? optionalText(input, 'ExclusiveStartShardId');
    const limit = integer(input, 'MaxResults', { min: 1, max: 10_000, otherwise: 1000 });
    const shards = this.#store.shards(stream).filter((shard) => after === undefined || shardIdOf(shard.number) > after);
    const page = shards.slice(0, limit);
    const last = page.at(-1);
    return {
      Shards: page.map((shard) => this.#shardDescription(shard)),
      ...(shards.length > limit && last !== undefined
        ? { NextToken: Buffer.from(`${name}\n${shardIdOf(last.number)}`).toString('base64') }
        : {}),
    };
  }

  #getShardIterator(input: Input): object {
    const stream = this.#store.stream(streamName(input));
    const shard = this.#store.shard(stream, text(input, 'ShardId'));
    return { ShardIterator: iteratorOf({ stream: stream.name, shard: shard.number, from: this.#firstId(shard, input) }) };
  }

  #firstId(shard: ShardRow, input: Input): number {
    const type = text(input, 'ShardIteratorType');
    switch (type) {
      case 'TRIM_HORIZON':
        return shard.first_id;
      case 'LATEST':
        return this.#store.nextId;
      case 'AT_TIMESTAMP': {
        const at = input['Timestamp'];
        if (typeof at !== 'number')
          throw invalidArgument('Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP.');
        return this.#store.firstIdSince(shard, at * 1000);
      }
      case 'AT_SEQUENCE_NUMBER':
      case 'AFTER_SEQUENCE_NUMBER': {
        const number = text(input, 'StartingSequenceNumber');
        const id = idOfSequenceNumber(number);
        if (id === undefined || id < shard.first_id || id > this.#store.nextId)
          throw invalidArgument(
            `StartingSequenceNumber ${number} used in GetShardIterator on shard ${shardIdOf(shard.number)} is invalid.`,
          );
        return type === 'AT_SEQUENCE_NUMBER' ? id : id + 1;
      }
      default:
        throw invalidArgument(`Unknown ShardIteratorType ${type}.`);
    }
  }

  #getRecords(input: Input): object {
    const position = positionOf(text(input, 'ShardIterator'));
    const limit = integer(input, 'Limit', { min: 1, max: 10_000, otherwise: 10_000 });
    const stream = this.#store.stream(position.stream);
    const shard = this.#store.shard(stream, shardIdOf(position.shard));
    let limits = this.#reads.get(shard.id);
    if (limits === undefined) this.#reads.set(shard.id, (limits = new ShardLimits()));
    if (this.#enforce && !limits.admitsRead())
      throw throttled(`Rate exceeded for shard ${shardIdOf(shard.number)} in stream ${stream.name} under account 000000000000.`);
    const rows = this.#store.read(shard, position.from, { maxRecords: limit, maxBytes: READ_BYTES_MAX });
    limits.chargeRead(rows.reduce((sum, row) => sum + row.data.length, 0));
    const last = rows.at(-1);
    const next = last === undefined ? position.from : last.id + 1;
    const ended = shard.last_id !== null && this.#store.read(shard, next, { maxRecords: 1, maxBytes: 1 }).length === 0;
    const newest = this.#store.newestArrival(shard);
    const behind = last !== undefined && newest !== undefined ? Math.max(0, newest - last.arrived_ms) : 0;
    const children = ended
      ? this.#store
          .shards(stream)
          .filter(({ parent, adjacent_parent }) => parent === shard.number || adjacent_parent === shard.number)
      : [];
    return {
      Records: rows.map((row) => ({
        SequenceNumber: sequenceNumberOf(row.id),
        ApproximateArrivalTimestamp: row.arrived_ms / 1000,
        Data: row.data.toString('base64'),
        PartitionKey: row.partition_key,
        EncryptionType: 'NONE',
      })),
      ...(ended ? {} : { NextShardIterator: iteratorOf({ ...position, from: next }) }),
      MillisBehindLatest: behind,
      ...(children.length === 0
        ? {}
        : {
            ChildShards: children.map((child) => ({
              ShardId: shardIdOf(child.number),
              ParentShards: [child.parent, child.adjacent_parent].flatMap((number) =>
                number === null ? [] : [shardIdOf(number)],
              ),
              HashKeyRange: { StartingHashKey: child.start_hash.toString(), EndingHashKey: child.end_hash.toString() },
            })),
          }),
    };
  }

  #splitShard(input: Input): object {
    const stream = this.#store.stream(streamName(input));
    const at = text(input, 'NewStartingHashKey');
    if (!/^\d{1,39}$/.test(at)) throw invalidArgument('NewStartingHashKey is not a hash key.');
    this.#store.splitShard(stream, this.#store.shard(stream, text(input, 'ShardToSplit')), BigInt(at));
    return {};
  }

  #mergeShards(input: Input): object {
    const stream = this.#store.stream(streamName(input));
    this.#store.mergeShards(
      stream,
      this.#store.shard(stream, text(input, 'ShardToMerge')),
      this.#store.shard(stream, text(input, 'AdjacentShardToMerge')),
    );
    return {};
  }

  #updateShardCount(input: Input): object {
    const stream = this.#store.stream(streamName(input));
    const before = this.#store.openShards(stream).length;
    const count = integer(input, 'TargetShardCount', { min: 1, max: SHARDS_MAX });
    if (text(input, 'ScalingType') !== 'UNIFORM_SCALING') throw invalidArgument('ScalingType must be UNIFORM_SCALING.');
    if (count > before * 2)
      throw invalidArgument(
        'UpdateShardCount cannot scale up over double your current open shard count. ' +
          `Current open shard count: ${before} Target shard count: ${count}`,
      );
    if (count < before / 2)
      throw invalidArgument(
        'UpdateShardCount cannot scale down below half your current open shard count. ' +
          `Current open shard count: ${before} Target shard count: ${count}`,
      );
    if (count !== before) this.#store.reshard(stream, count);
    return { StreamName: stream.name, CurrentShardCount: before, TargetShardCount: count, StreamARN: arnOf(stream.name) };
  }

  #setRetention(input: Input, direction: 1 | -1): object {
    const stream = this.#store.stream(streamName(input));
    const hours = integer(input, 'RetentionPeriodHours', { min: 24, max: 8760 });
    if ((hours - stream.retention_hours) * direction < 0)
      throw invalidArgument(
        `Requested retention period (${hours} hours) for stream ${stream.name} can not be ` +
          `${direction > 0 ? 'shorter' : 'longer'} than existing retention period (${stream.retention_hours} hours).`,
      );
    this.#store.setRetention(stream, hours);
    return {};
  }

  #updateMaxRecordSize(input: Input): object {
    const stream = this.#store.stream(streamName(input));
    const kib = integer(input, 'MaxRecordSizeInKiB', { min: 1024, max: 10_240 });
    if (kib === stream.max_record_kib) throw inUse('The stream has this record size.');
    this.#store.setMaxRecordKib(stream, kib);
    return {};
  }
}
