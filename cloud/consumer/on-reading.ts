import type { IncomingReading } from '../../contract/reading.ts';

/** Where a reading came from in the stream. */
export interface ReadingOrigin {
  shardId: string;
  /** Of the Kinesis record; readings of one aggregate share it. */
  sequenceNumber: string;
  partitionKey: string;
  /** When Kinesis took the record, UTC. */
  arrivedAt: Date;
}

/**
 * Your own code: what is to be done with one reading. Called in the order of the shard, one at a time. When it throws, this record and those
 * after it come again, so a reading may come twice: (gateway, run, seq) tells. This one writes the reading to the function's log.
 */
export async function onReading(reading: IncomingReading, origin: ReadingOrigin): Promise<void> {
  console.log(JSON.stringify({ event: 'reading', ...reading, arrived_at: origin.arrivedAt.toISOString() }));
}
