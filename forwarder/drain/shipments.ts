/**
 * Turns queued readings into records: one record per reading, or aggregates (aggregates.ts). Readings wait per shard, so that a shard that
 * takes no more holds back only its own.
 */
import type { QueuedReading } from '../queue/drain-queue.ts';
import type { Config } from '../../service/config/config.ts';
import type { SinkRecord } from '../sink/sink.ts';
import type { ShardPacer } from './shard-pacer.ts';

/** One record, and the rows in it. */
export interface Shipment {
  rows: readonly QueuedReading[];
  record: SinkRecord;
  /** Data and key, as a shard's limit counts them. */
  bytes: number;
  attempts: number;
  /** Of the shard that it was last sent to; undefined before. */
  pacer?: ShardPacer | undefined;
  /** In flight with a reading of the backlog. */
  isBacklog?: boolean;
}

export interface BatchLimits {
  maxRecords: number;
  maxBytes: number;
  /** Whatever the shards grant: for a probe. */
  isForced: boolean;
  /** The first shipment is taken whatever its size. */
  isFirst: boolean;
}

/** New readings go before a backlog. */
export type Part = 'live' | 'backlog';

/** What could be sent to a shard if it took everything. */
export interface Demand {
  records: number;
  bytes: number;
}

/** Rows that wait to be sent. */
export interface Shipments {
  /** Number of waiting rows. */
  readonly size: number;
  /** Number of waiting rows that are not part of the backlog behind them. */
  readonly liveSize: number;
  /** Number of records that could be sent now, at most as many as a request holds. */
  readonly ready: number;
  /** Estimated bytes of a record. */
  readonly recordBytes: number;
  /** Whether there is enough for another request beside one in flight. */
  readonly full: boolean;
  /** When the oldest waiting row that is not backlog was accepted. */
  readonly oldestAcceptedAtMs: number | undefined;
  /** Adds what could be sent to each shard. */
  demand(into: Map<ShardPacer, Demand>): void;
  /** Rows of a backlog go behind all others. */
  add(rows: readonly QueuedReading[]): void;
  /** Waiting rows that were accepted before this time (ms since the epoch) belong to the backlog from now on. */
  setBehind(sinceMs: number): void;
  /** Keys may have other pacers than before. */
  regroup(): void;
  /** The next shipments of a part, within the limits and within what their shards grant. Call it for `live` first. */
  next(limits: BatchLimits, part: Part): Shipment[];
  /** A request failed as a whole: its rows wait again. Returns the shipments that have to be sent again as they are. */
  putBack(shipments: readonly Shipment[]): readonly Shipment[];
  /** Splits a refused shipment of several rows in two. */
  halve(shipment: Shipment): Shipment[];
  /** The order of each device is strict: what belongs to a failed shipment must not overtake it. */
  readonly keepsOrder: boolean;
  /** Joins the parts of one shipment that was halved. */
  join(parts: readonly [Shipment, ...Shipment[]]): Shipment;
  /** The same rows under another key, for KINESIS_PARTITION_KEY=random. */
  withNewKey(shipment: Shipment): Shipment;
  /** Removes the waiting rows of a device. */
  withdraw(device: string): QueuedReading[];
  /** A request with these shipments ended, well or not. */
  landed(shipments: readonly Shipment[]): void;
  /** A shipment of a row that is not among the waiting ones. */
  only(row: QueuedReading): Shipment;
  /** A shipment was shipped or buried. */
  finished(shipment: Shipment): void;
}

export type KinesisSettings = Pick<Config, 'KINESIS_MODE' | 'KINESIS_PARTITION_KEY'>;

/** The most records of a PutRecords request. */
export const BATCH_RECORDS = 500;

export function shipmentOf(rows: readonly QueuedReading[], partitionKey: string, data: Buffer): Shipment {
  return { rows, record: { partitionKey, data }, bytes: data.length + Buffer.byteLength(partitionKey), attempts: 0 };
}

export const bytesOf = (shipments: readonly Shipment[]): number => shipments.reduce((sum, { bytes }) => sum + bytes, 0);

export function addDemand(into: Map<ShardPacer, Demand>, pacer: ShardPacer, records: number, bytes: number): void {
  const demand = into.get(pacer);
  if (demand === undefined) into.set(pacer, { records, bytes });
  else {
    demand.records += records;
    demand.bytes += bytes;
  }
}
