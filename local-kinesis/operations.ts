/** The operations of the local stream, by their Kinesis names; here those on whole streams. */
import type { Faults } from './faults.ts';
import type { GroupCommit } from './group-commit.ts';
import { invalidArgument, KinesisError, limitExceeded } from './kinesis-error.ts';
import { pageOf, pageToken } from './page-token.ts';
import { PutOperations } from './put-operations.ts';
import { ReadOperations } from './read-operations.ts';
import { isRatedByAccount, RequestRates } from './request-rates.ts';
import { SHARDS_MAX, shardDescription, ShardOperations } from './shard-operations.ts';
import { shardIdOf } from './shards.ts';
import type { Store, StreamRow } from './store.ts';
import { arnOf, nameOfArn, streamOf } from './stream-names.ts';
import { readInput } from './wire/fields.ts';
import { requests, type OperationName, type RequestOf } from './wire/requests.ts';
import { Timestamp, type Wire } from './wire/wire.ts';

/** DescribeStream and ListStreams return at most this much, whatever Limit says. */
const PAGE_MAX = 100;
const RETENTION_MIN_HOURS = 24;
const RETENTION_MAX_HOURS = 8760;

type Handlers = { readonly [Name in OperationName]: (input: RequestOf<Name>) => Promise<object> | object };

const isOperation = (name: string): name is OperationName => Object.hasOwn(requests, name);

export class Operations {
  readonly #store: Store;
  readonly #rates: RequestRates;
  readonly #handlers: Handlers;

  constructor(options: { store: Store; commit: GroupCommit; faults: Faults; enforceLimits: boolean }) {
    this.#store = options.store;
    const puts = new PutOperations(options);
    this.#rates = new RequestRates({ enforce: options.enforceLimits });
    const rated = { ...options, rates: this.#rates };
    const reads = new ReadOperations(rated);
    const shards = new ShardOperations(rated);
    this.#handlers = {
      CreateStream: (input) => this.#createStream(input),
      DeleteStream: (input) => this.#deleteStream(input),
      DescribeStream: (input) => this.#describeStream(input),
      DescribeStreamSummary: (input) => this.#describeSummary(input),
      ListStreams: (input) => this.#listStreams(input),
      IncreaseStreamRetentionPeriod: (input) => this.#setRetention(input, 'increase'),
      DecreaseStreamRetentionPeriod: (input) => this.#setRetention(input, 'decrease'),
      UpdateMaxRecordSize: (input) => this.#updateMaxRecordSize(input),
      ListShards: (input) => shards.listShards(input),
      SplitShard: (input) => shards.splitShard(input),
      MergeShards: (input) => shards.mergeShards(input),
      UpdateShardCount: (input) => shards.updateShardCount(input),
      PutRecord: async (input) => await puts.putRecord(input),
      PutRecords: async (input) => await puts.putRecords(input),
      GetShardIterator: (input) => reads.getShardIterator(input),
      GetRecords: (input) => reads.getRecords(input),
    };
  }

  /** Runs one operation on a decoded request. Throws KinesisError. */
  async run(name: string, request: unknown, wire: Wire): Promise<object> {
    if (!isOperation(name)) throw new KinesisError('UnknownOperationException', `The local stream does not support ${name}.`);
    return await this.#call(name, request, wire);
  }

  #call<Name extends OperationName>(name: Name, request: unknown, wire: Wire): Promise<object> | object {
    const handler: Handlers[Name] = this.#handlers[name];
    const input = readInput(requests[name], request, wire);
    if (isRatedByAccount(name)) this.#rates.countAccountCall(name);
    return handler(input);
  }

  #createStream({ StreamName, ShardCount, StreamModeDetails, MaxRecordSizeInKiB }: RequestOf<'CreateStream'>): object {
    if (StreamModeDetails?.StreamMode === 'ON_DEMAND')
      throw invalidArgument('StreamMode ON_DEMAND is not supported by the local stream.');
    if (ShardCount === undefined) throw invalidArgument('ShardCount must be specified for a stream of mode PROVISIONED.');
    if (this.#store.openShardCount + ShardCount > SHARDS_MAX && !this.#store.hasStream(StreamName))
      throw limitExceeded(`This request would exceed the shard limit of account 000000000000: ${SHARDS_MAX} open shards.`);
    this.#store.createStream(StreamName, ShardCount, MaxRecordSizeInKiB);
    return {};
  }

  #deleteStream(input: RequestOf<'DeleteStream'>): object {
    this.#store.deleteStream(streamOf(this.#store, input));
    return {};
  }

  #commonDescription(stream: StreamRow): object {
    return {
      StreamName: stream.name,
      StreamARN: arnOf(stream.name),
      StreamStatus: 'ACTIVE',
      StreamModeDetails: { StreamMode: 'PROVISIONED' },
      RetentionPeriodHours: stream.retention_hours,
      StreamCreationTimestamp: new Timestamp(stream.created_ms),
      EnhancedMonitoring: [{ ShardLevelMetrics: [] }],
      EncryptionType: 'NONE',
    };
  }

  #describeStream(input: RequestOf<'DescribeStream'>): object {
    const stream = streamOf(this.#store, input);
    const after = input.ExclusiveStartShardId ?? '';
    const limit = Math.min(input.Limit ?? PAGE_MAX, PAGE_MAX);
    const shards = this.#store.shards(stream).filter(({ number }) => shardIdOf(number) > after);
    return {
      StreamDescription: {
        ...this.#commonDescription(stream),
        HasMoreShards: shards.length > limit,
        Shards: shards.slice(0, limit).map((shard) => shardDescription(shard)),
      },
    };
  }

  #describeSummary(input: RequestOf<'DescribeStreamSummary'>): object {
    const stream = streamOf(this.#store, input);
    return {
      StreamDescriptionSummary: {
        ...this.#commonDescription(stream),
        OpenShardCount: this.#store.openShards(stream).length,
        ConsumerCount: 0,
        MaxRecordSizeInKiB: stream.max_record_kib,
      },
    };
  }

  #listStreams({ Limit, ExclusiveStartStreamName, NextToken }: RequestOf<'ListStreams'>): object {
    if (ExclusiveStartStreamName !== undefined && NextToken !== undefined)
      throw invalidArgument('ExclusiveStartStreamName and NextToken must not be specified together.');
    const after = NextToken === undefined ? (ExclusiveStartStreamName ?? '') : String(pageOf('streams', NextToken)[0]);
    const limit = Math.min(Limit ?? PAGE_MAX, PAGE_MAX);
    const names = this.#store.streamNames().filter((name) => name > after);
    const page = names.slice(0, limit);
    return {
      StreamNames: page,
      HasMoreStreams: names.length > limit,
      ...(names.length > limit ? { NextToken: pageToken('streams', [page.at(-1)]) } : {}),
      StreamSummaries: page.map((name) => ({
        StreamName: name,
        StreamARN: arnOf(name),
        StreamStatus: 'ACTIVE',
        StreamModeDetails: { StreamMode: 'PROVISIONED' },
        StreamCreationTimestamp: new Timestamp(this.#store.stream(name).created_ms),
      })),
    };
  }

  #setRetention(input: RequestOf<'IncreaseStreamRetentionPeriod'>, direction: 'increase' | 'decrease'): object {
    const stream = streamOf(this.#store, input);
    this.#rates.countStreamCall(
      direction === 'increase' ? 'IncreaseStreamRetentionPeriod' : 'DecreaseStreamRetentionPeriod',
      stream.name,
    );
    const hours = input.RetentionPeriodHours;
    if (hours < RETENTION_MIN_HOURS)
      throw invalidArgument(
        `Minimum allowed retention period is ${RETENTION_MIN_HOURS} hours. Requested retention period (${hours} hours) is too short.`,
      );
    if (hours > RETENTION_MAX_HOURS)
      throw invalidArgument(
        `Maximum allowed retention period is ${RETENTION_MAX_HOURS} hours. Requested retention period (${hours} hours) is too long.`,
      );
    if (direction === 'increase' ? hours <= stream.retention_hours : hours >= stream.retention_hours)
      throw invalidArgument(
        `Requested retention period (${hours} hours) for stream ${stream.name} must be ` +
          `${direction === 'increase' ? 'longer' : 'shorter'} than existing retention period (${stream.retention_hours} hours).`,
      );
    this.#store.setRetention(stream, hours);
    return {};
  }

  #updateMaxRecordSize({ StreamARN, MaxRecordSizeInKiB }: RequestOf<'UpdateMaxRecordSize'>): object {
    const stream = this.#store.stream(nameOfArn(StreamARN));
    if (MaxRecordSizeInKiB === stream.max_record_kib)
      throw invalidArgument(`The stream's MaxRecordSizeInKiB is ${MaxRecordSizeInKiB}.`);
    this.#store.setMaxRecordKib(stream, MaxRecordSizeInKiB);
    return {};
  }
}
