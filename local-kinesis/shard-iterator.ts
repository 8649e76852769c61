/** Shard iterators: opaque to clients and valid for five minutes, as in Kinesis. */
import { invalidArgument, KinesisError } from './kinesis-error.ts';

const VALID_MS = 5 * 60_000;

export interface Position {
  stream: string;
  shard: number;
  /** The first record id to read. */
  from: number;
}

export function iteratorOf({ stream, shard, from }: Position): string {
  return Buffer.from(JSON.stringify([stream, shard, from, Date.now()])).toString('base64');
}

/** Throws InvalidArgumentException or ExpiredIteratorException. */
export function positionOf(iterator: string): Position {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(iterator, 'base64').toString());
  } catch {
    throw invalidArgument('Invalid ShardIterator.');
  }
  if (!Array.isArray(value) || value.length !== 4) throw invalidArgument('Invalid ShardIterator.');
  const [stream, shard, from, madeMs] = value as unknown[];
  if (typeof stream !== 'string' || typeof shard !== 'number' || typeof from !== 'number' || typeof madeMs !== 'number')
    throw invalidArgument('Invalid ShardIterator.');
  if (Date.now() - madeMs > VALID_MS)
    throw new KinesisError(
      'ExpiredIteratorException',
      `Iterator expired. The iterator was created at time ${new Date(madeMs).toISOString()} while right now it is ` +
        `${new Date().toISOString()} which is further in the future than the tolerated delay of 300000 milliseconds.`,
    );
  return { stream, shard, from };
}
