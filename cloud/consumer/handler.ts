/**
 * The Lambda consumer. Its answer names the first record that failed; Lambda takes what stands before it as done and brings it and what follows
 * again, halved where BisectBatchOnFunctionError says so, until the record's retries or age run out and it goes to the on-failure queue. So nothing
 * after a failed record is done in this call: it would be done twice. Your own code is in on-reading.ts.
 */
import type { KinesisStreamBatchResponse, KinesisStreamEvent, KinesisStreamRecord } from 'aws-lambda';
import { onReading } from './on-reading.ts';
import { identityOf, readingsOfRecord } from './readings-of-record.ts';

/** eventID is `<shard id>:<sequence number>`. */
const shardIdOf = ({ eventID }: KinesisStreamRecord): string => eventID.split(':')[0] ?? '';

async function take(record: KinesisStreamRecord, seen: Set<string>): Promise<void> {
  const { partitionKey, data, sequenceNumber, approximateArrivalTimestamp } = record.kinesis;
  // All are checked before the first is given on: of a malformed aggregate nothing is done.
  for (const reading of readingsOfRecord(partitionKey, Buffer.from(data, 'base64'))) {
    const identity = identityOf(reading);
    if (identity !== undefined && seen.has(identity)) continue;
    await onReading(reading, {
      shardId: shardIdOf(record),
      sequenceNumber,
      partitionKey,
      arrivedAt: new Date(approximateArrivalTimestamp * 1000),
    });
    if (identity !== undefined) seen.add(identity);
  }
}

/** Takes a batch of one shard, in its order; a reading that is there twice goes to onReading once. */
export async function handler(event: KinesisStreamEvent): Promise<KinesisStreamBatchResponse> {
  const seen = new Set<string>();
  for (const record of event.Records) {
    try {
      await take(record, seen);
    } catch (error) {
      const { name, message } = error instanceof Error ? error : new Error(String(error));
      console.error(
        JSON.stringify({
          event: 'record_failed',
          shard_id: shardIdOf(record),
          sequence_number: record.kinesis.sequenceNumber,
          error: name,
          reason: message,
        }),
      );
      return { batchItemFailures: [{ itemIdentifier: record.kinesis.sequenceNumber }] };
    }
  }
  return { batchItemFailures: [] };
}
