/**
 * The Lambda consumer. Its answer names the first record that failed. Lambda treats the records before it as processed, and delivers
 * the failed one and those after it again (in halves if BisectBatchOnFunctionError is set), until the retries or the age of the failed
 * record are exhausted and it goes to the on-failure queue. So the handler stops at the first failure: anything after it would be
 * processed twice. Your own code is in on-reading.ts.
 */
import type { KinesisStreamBatchResponse, KinesisStreamEvent, KinesisStreamRecord } from 'aws-lambda';
import { onReading } from './on-reading.ts';
import { functionSettings } from './function-settings.ts';
import { GatewayReports, print, SeenGateways } from './gateway-metrics.ts';
import { LastSeenTable } from './last-seen.ts';
import { contentsOfRecord, identityOf } from './readings-of-record.ts';

export { watch } from './watch.ts';

/** eventID is `<shard id>:<sequence number>`. */
const shardIdOf = ({ eventID }: KinesisStreamRecord): string => eventID.split(':')[0] ?? '';

// Outside of the function: an instance serves many calls.
let reports: GatewayReports | undefined;
let table: LastSeenTable | undefined;

async function take(record: KinesisStreamRecord, seen: Set<string>, gateways: SeenGateways): Promise<void> {
  const { partitionKey, data, sequenceNumber, approximateArrivalTimestamp } = record.kinesis;
  const arrivedAt = new Date(approximateArrivalTimestamp * 1000);
  // All readings are checked before the first is passed on: nothing of a malformed aggregate is processed.
  const { readings, accountsOf } = contentsOfRecord(partitionKey, Buffer.from(data, 'base64'));
  for (const [index, reading] of readings.entries()) {
    const identity = identityOf(reading);
    if (identity !== undefined && seen.has(identity)) continue;
    await onReading(reading, {
      shardId: shardIdOf(record),
      sequenceNumber,
      index,
      partitionKey,
      arrivedAt,
    });
    if (identity !== undefined) seen.add(identity);
    if (reading.gateway !== undefined) gateways.add(reading.gateway, { isReading: true, arrivedAt });
  }
  for (const gateway of accountsOf) gateways.add(gateway, { isReading: false, arrivedAt });
}

/**
 * Reports which gateways the batch showed, as far as the template wants it. A failure is logged only: the readings are processed, and the
 * next batch reports again.
 */
async function report(gateways: SeenGateways): Promise<void> {
  const { metricsStream, lastSeen } = functionSettings();
  if (metricsStream !== undefined) {
    reports ??= new GatewayReports(metricsStream);
    for (const line of reports.after(gateways, Date.now())) print(line);
  }
  if (lastSeen === undefined) return;
  table ??= new LastSeenTable(lastSeen);
  try {
    await table.write(gateways, Date.now());
  } catch (error) {
    const { name, message } = error instanceof Error ? error : new Error(String(error));
    console.error(JSON.stringify({ event: 'last_seen_failed', error: name, reason: message }));
  }
}

/** Processes a batch of one shard, in its order. A reading that the batch contains twice is passed to onReading once. */
export async function handler(event: KinesisStreamEvent): Promise<KinesisStreamBatchResponse> {
  const gateways = new SeenGateways();
  const answer = await processBatch(event, gateways);
  await report(gateways);
  return answer;
}

async function processBatch(event: KinesisStreamEvent, gateways: SeenGateways): Promise<KinesisStreamBatchResponse> {
  const seen = new Set<string>();
  for (const record of event.Records) {
    try {
      await take(record, seen, gateways);
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
