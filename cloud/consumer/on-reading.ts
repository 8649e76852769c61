import type { IncomingReading } from '../../contract/reading.ts';

/** Where a reading came from in the stream. */
export interface ReadingOrigin {
  shardId: string;
  /** Of the Kinesis record; readings of one aggregate share it. */
  sequenceNumber: string;
  /** Of the reading in its Kinesis record, from 0; more than 0 in an aggregate only. */
  index: number;
  partitionKey: string;
  /** When Kinesis stored the record, UTC. */
  arrivedAt: Date;
}

/**
 * Your own code: processes one reading. Called in the order of the shard, one reading at a time. If it throws, this record and those after
 * it are delivered again, so a reading may arrive twice: (gateway, run, seq) identifies it. This version writes the reading to the
 * function's log.
 */
export async function onReading(reading: IncomingReading, origin: ReadingOrigin): Promise<void> {
  console.log(JSON.stringify({ event: 'reading', ...reading, arrived_at: origin.arrivedAt.toISOString() }));
}
