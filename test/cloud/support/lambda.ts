/** Lambda events and retries as AWS documents them (Lambda Developer Guide, "Using AWS Lambda with Amazon Kinesis"). */
import type { KinesisStreamBatchResponse, KinesisStreamEvent, KinesisStreamRecord } from 'aws-lambda';

export type Handler = (event: KinesisStreamEvent) => Promise<KinesisStreamBatchResponse>;

const FIRST = 49590338271490256608559692538361571095921575989136588898n;

/** The sequence number of the record at this place in the shard. */
export const sequenceNumberAt = (index: number): string => (FIRST + BigInt(index)).toString();

/** A record at a place in the shard. */
export function lambdaRecord(index: number, partitionKey: string, data: Buffer): KinesisStreamRecord {
  return {
    kinesis: {
      kinesisSchemaVersion: '1.0',
      partitionKey,
      sequenceNumber: sequenceNumberAt(index),
      data: data.toString('base64'),
      approximateArrivalTimestamp: 1545084650.987,
    },
    eventSource: 'aws:kinesis',
    eventVersion: '1.0',
    eventID: `shardId-000000000006:${sequenceNumberAt(index)}`,
    eventName: 'aws:kinesis:record',
    invokeIdentityArn: 'arn:aws:iam::123456789012:role/lambda-role',
    awsRegion: 'us-east-2',
    eventSourceARN: 'arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream',
  };
}

/**
 * An event source mapping with ReportBatchItemFailures and BisectBatchOnFunctionError, as the guide describes it: records before the
 * lowest sequence number named are processed; the rest is retried; a batch of which nothing was processed is halved, which costs no
 * retry; one without retries left goes to the on-failure queue. Returns the sequence numbers of those.
 */
export async function runMapping(handler: Handler, records: KinesisStreamRecord[], maximumRetries: number): Promise<string[]> {
  const onFailure: string[] = [];
  const batches = [{ records, retries: 0 }];
  for (let batch = batches.shift(); batch !== undefined; batch = batches.shift()) {
    const { batchItemFailures } = await handler({ Records: batch.records });
    if (batchItemFailures.length === 0) continue;
    const { records: delivered } = batch;
    const failed = batchItemFailures.map(({ itemIdentifier }) =>
      delivered.findIndex(({ kinesis }) => kinesis.sequenceNumber === itemIdentifier),
    );
    const done = Math.min(...failed);
    if (done < 0) throw new Error(`no record of the batch: ${JSON.stringify(batchItemFailures)}`);
    const left = batch.records.slice(done);
    if (done === 0 && left.length > 1) {
      const half = Math.ceil(left.length / 2);
      batches.unshift({ records: left.slice(0, half), retries: batch.retries }, { records: left.slice(half), retries: 0 });
    } else if (done === 0 && batch.retries >= maximumRetries)
      onFailure.push(...left.map(({ kinesis }) => kinesis.sequenceNumber));
    else batches.unshift({ records: left, retries: done === 0 ? batch.retries + 1 : 0 });
  }
  return onFailure;
}
