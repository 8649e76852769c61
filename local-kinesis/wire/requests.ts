/**
 * All members of the requests that the local stream answers, from the API reference of Kinesis (version 2013-12-02). A test compares this
 * table with the AWS SDK's: a member that is new there has to be supported or refused here.
 */
import { blob, boolean, integer, listOf, oneOf, required, structure, text, time, unsupported, type InputOf } from './fields.ts';

const streamName = text({ min: 1, max: 128, pattern: '[a-zA-Z0-9_.-]+' });
const shardId = streamName;
const streamArn = text({ min: 1, max: 2048, pattern: 'arn:aws.*:kinesis:.*:\\d{12}:stream/\\S+' });
const hashKey = text({ max: 39, pattern: '0|([1-9]\\d{0,38})' });
const sequenceNumber = text({ max: 129, pattern: '0|([1-9]\\d{0,128})' });
const token = text({ min: 1, max: 1_048_576 });
const partitionKey = text({ min: 1, max: 256 });
const data = blob({ maxBytes: 10_485_760 });
const pageSize = integer({ min: 1, max: 10_000 });

/** A stream by name, ARN or both. The API reference calls StreamId "not implemented". */
const stream = { StreamName: streamName, StreamARN: streamArn, StreamId: unsupported };
const retention = { ...stream, RetentionPeriodHours: required(integer()) };

export const requests = {
  CreateStream: {
    StreamName: required(streamName),
    ShardCount: integer({ min: 1 }),
    StreamModeDetails: structure({ StreamMode: required(oneOf(['PROVISIONED', 'ON_DEMAND'])) }),
    Tags: unsupported,
    WarmThroughputMiBps: unsupported,
    MaxRecordSizeInKiB: integer({ min: 1024, max: 10_240 }),
    RecordDistributionStrategy: unsupported,
  },
  DeleteStream: { ...stream, EnforceConsumerDeletion: boolean },
  DescribeStream: { ...stream, Limit: pageSize, ExclusiveStartShardId: shardId },
  DescribeStreamSummary: stream,
  ListStreams: { Limit: pageSize, ExclusiveStartStreamName: streamName, NextToken: token },
  ListShards: {
    ...stream,
    NextToken: token,
    ExclusiveStartShardId: shardId,
    MaxResults: pageSize,
    StreamCreationTimestamp: time,
    ShardFilter: structure({
      Type: required(
        oneOf(['AFTER_SHARD_ID', 'AT_TRIM_HORIZON', 'FROM_TRIM_HORIZON', 'AT_LATEST', 'AT_TIMESTAMP', 'FROM_TIMESTAMP']),
      ),
      ShardId: shardId,
      Timestamp: time,
    }),
  },
  PutRecord: {
    ...stream,
    Data: required(data),
    PartitionKey: required(partitionKey),
    ExplicitHashKey: hashKey,
    SequenceNumberForOrdering: sequenceNumber,
    DryRun: boolean,
  },
  PutRecords: {
    ...stream,
    Records: required(
      listOf(required(structure({ Data: required(data), PartitionKey: required(partitionKey), ExplicitHashKey: hashKey })), {
        min: 1,
        max: 500,
      }),
    ),
    DryRun: boolean,
  },
  GetShardIterator: {
    ...stream,
    ShardId: required(shardId),
    ShardIteratorType: required(oneOf(['AT_SEQUENCE_NUMBER', 'AFTER_SEQUENCE_NUMBER', 'TRIM_HORIZON', 'LATEST', 'AT_TIMESTAMP'])),
    StartingSequenceNumber: sequenceNumber,
    Timestamp: time,
    DryRun: boolean,
  },
  GetRecords: {
    ShardIterator: required(text({ min: 1, max: 512 })),
    // The documented error of a larger one is InvalidArgumentException.
    Limit: integer({ min: 1 }),
    StreamARN: streamArn,
    StreamId: unsupported,
    DryRun: boolean,
  },
  SplitShard: { ...stream, ShardToSplit: required(shardId), NewStartingHashKey: required(hashKey) },
  MergeShards: { ...stream, ShardToMerge: required(shardId), AdjacentShardToMerge: required(shardId) },
  UpdateShardCount: {
    ...stream,
    TargetShardCount: required(integer({ min: 1 })),
    ScalingType: required(oneOf(['UNIFORM_SCALING'])),
  },
  IncreaseStreamRetentionPeriod: retention,
  DecreaseStreamRetentionPeriod: retention,
  UpdateMaxRecordSize: {
    StreamARN: required(streamArn),
    StreamId: unsupported,
    MaxRecordSizeInKiB: required(integer({ min: 1024, max: 10_240 })),
  },
} as const;

export type OperationName = keyof typeof requests;

/** What an operation gets, once it is checked. */
export type RequestOf<Name extends OperationName> = InputOf<(typeof requests)[Name]>;
