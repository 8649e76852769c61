import type { _Record } from '@aws-sdk/client-kinesis';
import { parseReading, type IncomingReading } from '../../contract/reading.ts';
import { deaggregate } from '../aggregation.ts';

/** One record as its producer put it; an aggregate is split into its records. */
export interface StreamRecord {
  /** The reading, if the record holds one: `{timestamp, heart_rate}` at least. */
  readonly reading: IncomingReading | undefined;
  partitionKey: string;
  data: Buffer;
  shardId: string;
  /** Of the Kinesis record: all records of an aggregate share it. */
  sequenceNumber: string;
  arrivedAt: Date;
}

/** The records in one Kinesis record, which may be an aggregate. */
export function recordsOf(shardId: string, record: _Record): StreamRecord[] {
  const sequenceNumber = record.SequenceNumber ?? '';
  const arrivedAt = record.ApproximateArrivalTimestamp ?? new Date(0);
  return deaggregate(record.PartitionKey ?? '', Buffer.from(record.Data ?? [])).map(({ partitionKey, data }) => ({
    // Parsed on access: a consumer that only copies records does not pay for it.
    get reading() {
      const parsed = parseReading(data);
      return parsed.ok ? parsed.value : undefined;
    },
    partitionKey,
    data,
    shardId,
    sequenceNumber,
    arrivedAt,
  }));
}
