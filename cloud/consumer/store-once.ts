/**
 * A function for `npm run build:consumer -- --on-reading cloud/consumer/store-once.ts`: stores each reading once in the table of the
 * template (ConsumerTable=true), however often Lambda delivers it. The condition and the write are one step, so two calls at the same time
 * cannot both store it.
 */
import { ConditionalCheckFailedException, DynamoDBClient, PutItemCommand } from '@aws-sdk/client-dynamodb';
import type { IncomingReading } from '../../contract/reading.ts';
import type { ReadingOrigin } from './on-reading.ts';

// Outside of the function: its connections serve all calls of this instance.
const client = new DynamoDBClient({ maxAttempts: 3 });

/** The key of a reading. One that nobody numbered is known by its place in the stream, which is the same in each delivery. */
function keyOf(
  { gateway, run, seq }: IncomingReading,
  { shardId, sequenceNumber, index }: ReadingOrigin,
): [run: string, seq: number] {
  return gateway === undefined || run === undefined || seq === undefined
    ? [`${shardId}#${sequenceNumber}`, index]
    : [`${gateway}#${run}`, seq];
}

/** Stores a reading that is not stored yet. Throws other errors of DynamoDB: the record is delivered again. */
export async function onReading(reading: IncomingReading, origin: ReadingOrigin): Promise<void> {
  const [run, seq] = keyOf(reading, origin);
  try {
    await client.send(
      new PutItemCommand({
        TableName: process.env['TABLE_NAME'],
        Item: {
          run: { S: run },
          seq: { N: String(seq) },
          timestamp: { S: reading.timestamp },
          heart_rate: { N: String(reading.heart_rate) },
          reading: { S: JSON.stringify(reading) },
        },
        ConditionExpression: 'attribute_not_exists(seq)',
      }),
    );
  } catch (error) {
    // Stored by an earlier delivery.
    if (!(error instanceof ConditionalCheckFailedException)) throw error;
  }
}
