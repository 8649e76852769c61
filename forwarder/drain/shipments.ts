/** Turns queued readings into records to send: one a reading, or KPL aggregates of one device with at most one in flight. */
import type { Config } from '../../service/config.ts';
import type { QueuedReading } from '../queue/drain-queue.ts';
import type { SinkRecord } from '../sink/sink.ts';
import { AGGREGATE_OVERHEAD_BYTES, aggregate, aggregatedBytes } from './aggregation.ts';
import { partitionKeyOf } from './partition-key.ts';

/** One record and the rows that are in it. */
export interface Shipment {
  rows: QueuedReading[];
  record: SinkRecord;
  bytes: number;
  attempts: number;
}

type KinesisSettings = Pick<Config, 'KINESIS_MODE' | 'KINESIS_PARTITION_KEY' | 'KINESIS_AGGREGATE_BYTES'>;

function recordOf(row: QueuedReading, config: KinesisSettings): SinkRecord {
  return { partitionKey: partitionKeyOf(config.KINESIS_PARTITION_KEY, row.device), data: Buffer.from(`${row.data}\n`) };
}

function shipmentOf(rows: QueuedReading[], record: SinkRecord): Shipment {
  return { rows, record, bytes: record.data.length + Buffer.byteLength(record.partitionKey), attempts: 0 };
}

/** A shipment of this row alone. */
export function singleShipment(row: QueuedReading, config: KinesisSettings): Shipment {
  return shipmentOf([row], recordOf(row, config));
}

/** Rows that wait for their record, in the order of acceptance. */
export class ShipmentBuilder {
  readonly #config: KinesisSettings;
  readonly #aggregated: boolean;
  #rows: QueuedReading[] = [];
  /** Aggregated: devices with an aggregate that is not settled; its later rows wait. */
  readonly #busy = new Set<string>();

  constructor(config: KinesisSettings) {
    this.#config = config;
    this.#aggregated = config.KINESIS_MODE === 'aggregated';
  }

  get size(): number {
    return this.#rows.length;
  }

  get oldestAcceptedAtMs(): number | undefined {
    return this.#rows[0]?.acceptedAtMs;
  }

  add(rows: readonly QueuedReading[]): void {
    this.#rows.push(...rows);
  }

  /** The next shipments, at most so many records and bytes. */
  next(limits: { maxRecords: number; maxBytes: number }): Shipment[] {
    return this.#aggregated ? this.#nextAggregates(limits) : this.#nextRecords(limits);
  }

  #nextRecords({ maxRecords, maxBytes }: { maxRecords: number; maxBytes: number }): Shipment[] {
    const shipments: Shipment[] = [];
    let bytes = 0;
    while (shipments.length < maxRecords) {
      const row = this.#rows[shipments.length];
      if (row === undefined) break;
      const shipment = singleShipment(row, this.#config);
      bytes += shipment.bytes;
      if (shipments.length > 0 && bytes > maxBytes) break;
      shipments.push(shipment);
    }
    this.#rows.splice(0, shipments.length);
    return shipments;
  }

  #nextAggregates({ maxRecords, maxBytes }: { maxRecords: number; maxBytes: number }): Shipment[] {
    const groups = new Map<string, { rows: QueuedReading[]; bytes: number; closed: boolean }>();
    const left: QueuedReading[] = [];
    let total = 0;
    for (const row of this.#rows) {
      const size = aggregatedBytes(Buffer.byteLength(row.data) + 1);
      let group = groups.get(row.device);
      const fresh = group === undefined;
      if (group === undefined) group = { rows: [], bytes: AGGREGATE_OVERHEAD_BYTES, closed: this.#busy.has(row.device) || groups.size >= maxRecords };
      if (group.rows.length > 0 && group.bytes + size > this.#config.KINESIS_AGGREGATE_BYTES) group.closed = true;
      if (total + size > maxBytes) group.closed = true;
      if (group.closed) left.push(row);
      else {
        group.rows.push(row);
        group.bytes += size;
        total += size;
      }
      if (fresh) groups.set(row.device, group);
    }
    this.#rows = left;
    return [...groups.values()].filter(({ rows }) => rows.length > 0).map(({ rows }) => this.#aggregateOf(rows));
  }

  #aggregateOf(rows: QueuedReading[]): Shipment {
    const device = rows[0]?.device ?? '';
    const key = partitionKeyOf(this.#config.KINESIS_PARTITION_KEY, device);
    this.#busy.add(device);
    return shipmentOf(rows, { partitionKey: key, data: aggregate(key, rows.map(({ data }) => Buffer.from(`${data}\n`))) });
  }

  /** A shipment is shipped, buried or taken apart: its device may have the next one. */
  settled(shipment: Shipment): void {
    const device = shipment.rows[0]?.device;
    if (device !== undefined) this.#busy.delete(device);
  }
}
