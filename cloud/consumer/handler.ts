/**
 * The Lambda consumer. Its answer names the first record that failed. Lambda treats the records before it as processed, and delivers
 * the failed one and those after it again (in halves if BisectBatchOnFunctionError is set), until the retries or the age of the failed
 * record are exhausted and it goes to the on-failure queue. So the handler stops at the first failure: anything after it would be
 * processed twice. Your own code is in on-reading.ts.
 */
import type { KinesisStreamBatchResponse, KinesisStreamEvent, KinesisStreamRecord } from 'aws-lambda';
import { onReading } from './on-reading.ts';
import { identityOf, readingsOfRecord } from './readings-of-record.ts';

/** eventID is `<shard id>:<sequence number>`. */
const shardIdOf = ({ eventID }: KinesisStreamRecord): string => eventID.split(':')[0] ?? '';

async function take(record: KinesisStreamRecord, seen: Set<string>): Promise<void> {
  const { partitionKey, data, sequenceNumber, approximateArrivalTimestamp } = record.kinesis;
  // All readings are checked before the first is passed on: nothing of a malformed aggregate is processed.
  for (const [index, reading] of readingsOfRecord(partitionKey, Buffer.from(data, 'base64')).entries()) {
    const identity = identityOf(reading);
    if (identity !== undefined && seen.has(identity)) continue;
    await onReading(reading, {
      shardId: shardIdOf(record),
      sequenceNumber,
      index,
      partitionKey,
      arrivedAt: new Date(approximateArrivalTimestamp * 1000),
    });
    if (identity !== undefined) seen.add(identity);
  }
}

/** Processes a batch of one shard, in its order. A reading that the batch contains twice is passed to onReading once. */
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
