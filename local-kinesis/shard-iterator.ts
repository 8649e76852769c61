/** Shard iterators: opaque to clients and valid for five minutes, as in Kinesis. */
import { invalidArgument, KinesisError } from './kinesis-error.ts';
import { sealed, unsealed } from './tokens.ts';

const VALID_MS = 5 * 60_000;

export interface Position {
  stream: string;
  /** Tells streams of one name apart. */
  createdMs: number;
  shard: number;
  /** The first record id to read. */
  from: number;
}

export function iteratorOf({ stream, createdMs, shard, from }: Position): string {
  return sealed('iterator', [stream, createdMs, shard, from, Date.now()]);
}

/** Throws InvalidArgumentException or ExpiredIteratorException. */
export function positionOf(iterator: string): Position {
  const [stream, createdMs, shard, from, madeMs] = unsealed('iterator', iterator) ?? [];
  if (
    typeof stream !== 'string' ||
    typeof createdMs !== 'number' ||
    typeof shard !== 'number' ||
    typeof from !== 'number' ||
    typeof madeMs !== 'number'
  )
    throw invalidArgument('Invalid ShardIterator.');
  if (Date.now() - madeMs > VALID_MS)
    throw new KinesisError(
      'ExpiredIteratorException',
      `Iterator expired. The iterator was created at time ${new Date(madeMs).toISOString()} while right now it is ` +
        `${new Date().toISOString()} which is further in the future than the tolerated delay of 300000 milliseconds.`,
    );
  return { stream, createdMs, shard, from };
}
