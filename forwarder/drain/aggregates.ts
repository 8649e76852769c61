/**
 * `KINESIS_MODE=aggregated`: each KPL aggregate holds readings of one device, and at most one aggregate per device is in flight. Later
 * readings wait until it is shipped or buried, so the order of each device is strict.
 */
import type { QueuedReading } from '../queue/drain-queue.ts';
import { aggregate, aggregatedBytes, aggregateOverheadBytes } from './aggregation.ts';
import { partitionKeyOf } from './partition-key.ts';
import { RowFifo } from './row-fifo.ts';
import type { ShardPacer } from './shard-pacer.ts';
import type { ShardPacing } from './shard-pacing.ts';
import {
  addDemand,
  BATCH_RECORDS,
  shipmentOf,
  type BatchLimits,
  type Demand,
  type KinesisSettings,
  type Part,
  type Shipment,
  type Shipments,
} from './shipments.ts';

/** Size that an aggregate is filled to: a PUT unit, which is what Kinesis charges by. */
const AGGREGATE_BYTES = 25 * 1024;

interface DeviceRows {
  rows: RowFifo;
  bytes: number;
  /** Shipments that are neither shipped nor buried. */
  inFlight: number;
  /** Partition key of its next aggregate. */
  key: string;
}

function aggregateOf(key: string, rows: readonly QueuedReading[]): Shipment {
  return shipmentOf(
    rows,
    key,
    aggregate(
      key,
      rows.map(({ data }) => Buffer.from(`${data}\n`)),
    ),
  );
}

export class AggregateShipments implements Shipments {
  readonly #setting: string;
  readonly #pacing: ShardPacing;
  readonly keepsOrder = true;
  readonly #aggregateBytes: number;
  /** Round robin: the device whose turn is next comes first. */
  readonly #devices = new Map<string, DeviceRows>();
  #size = 0;

  constructor(config: KinesisSettings, pacing: ShardPacing, aggregateBytes = AGGREGATE_BYTES) {
    this.#setting = config.KINESIS_PARTITION_KEY;
    this.#pacing = pacing;
    this.#aggregateBytes = aggregateBytes;
  }

  get size(): number {
    return this.#size;
  }

  /** Order is strict: there is no backlog that others could overtake. */
  get liveSize(): number {
    return this.#size;
  }

  get ready(): number {
    let ready = 0;
    for (const { rows, inFlight } of this.#devices.values())
      if (inFlight === 0 && rows.length > 0 && (ready += 1) >= BATCH_RECORDS) break;
    return ready;
  }

  get recordBytes(): number {
    return this.#aggregateBytes;
  }

  get full(): boolean {
    for (const { bytes, inFlight } of this.#devices.values()) if (inFlight === 0 && bytes >= this.#aggregateBytes) return true;
    return false;
  }

  get oldestAcceptedAtMs(): number | undefined {
    let oldest: number | undefined;
    for (const { rows, inFlight } of this.#devices.values()) {
      const first = inFlight === 0 ? rows.at(0)?.acceptedAtMs : undefined;
      if (first !== undefined && (oldest === undefined || first < oldest)) oldest = first;
    }
    return oldest;
  }

  demand(into: Map<ShardPacer, Demand>): void {
    for (const { rows, inFlight, bytes, key } of this.#devices.values())
      if (inFlight === 0 && rows.length > 0)
        this.#addDemand(into, this.#pacing.pacerOf(key), bytes + aggregateOverheadBytes(key));
  }

  #addDemand(into: Map<ShardPacer, Demand>, pacer: ShardPacer, bytes: number): void {
    addDemand(into, pacer, 1, Math.min(bytes, this.#aggregateBytes, pacer.recordBytesMax));
  }

  setBehind(): void {}

  regroup(): void {}

  landed(): void {}

  #rowsOf(name: string): DeviceRows {
    let device = this.#devices.get(name);
    if (device === undefined) {
      const key = partitionKeyOf(this.#setting, name);
      this.#devices.set(name, (device = { rows: new RowFifo(), bytes: 0, inFlight: 0, key }));
    }
    return device;
  }

  add(rows: readonly QueuedReading[]): void {
    for (const row of rows) {
      const device = this.#rowsOf(row.device);
      device.rows.push(row);
      device.bytes += aggregatedBytes(Buffer.byteLength(row.data) + 1);
    }
    this.#size += rows.length;
  }

  putBack(shipments: readonly Shipment[]): readonly Shipment[] {
    return shipments;
  }

  next({ maxRecords, maxBytes, isForced, isFirst }: BatchLimits, part: Part): Shipment[] {
    const shipments: Shipment[] = [];
    if (part === 'backlog') return shipments;
    let left = maxBytes;
    for (const [name, device] of Array.from(this.#devices)) {
      if (shipments.length >= maxRecords || left <= 0) break;
      if (device.inFlight > 0 || device.rows.length === 0) continue;
      const { key } = device;
      const pacer = this.#pacing.pacerOf(key);
      const overhead = aggregateOverheadBytes(key);
      const most = Math.min(this.#aggregateBytes, pacer.recordBytesMax);
      if (!isForced && !pacer.may(Math.min(device.bytes + overhead, most))) continue;
      const rows = this.#fill(device, overhead, {
        most,
        left: isFirst && shipments.length === 0 ? Number.POSITIVE_INFINITY : left,
      });
      if (rows.length === 0) break;
      const shipment = aggregateOf(key, rows);
      shipment.pacer = pacer;
      pacer.take(shipment.bytes);
      device.inFlight = 1;
      if (this.#setting === 'random') device.key = partitionKeyOf(this.#setting, name);
      left -= shipment.bytes;
      shipments.push(shipment);
      // Its next turn is at the end of the round.
      this.#devices.delete(name);
      this.#devices.set(name, device);
    }
    return shipments;
  }

  /** Takes the rows of one aggregate of at most `most` bytes, but at least one; none if not even that fits into the rest of the request. */
  #fill(device: DeviceRows, overhead: number, { most, left }: { most: number; left: number }): QueuedReading[] {
    const max = Math.min(most, left);
    let bytes = overhead;
    let count = 0;
    for (let row = device.rows.at(0); row !== undefined; row = device.rows.at(count)) {
      const size = aggregatedBytes(Buffer.byteLength(row.data) + 1);
      if (bytes + size > (count > 0 ? max : left)) break;
      bytes += size;
      count += 1;
    }
    device.bytes -= bytes - overhead;
    this.#size -= count;
    return device.rows.shift(count);
  }

  halve(shipment: Shipment): Shipment[] {
    const { rows, record } = shipment;
    if (rows.length < 2) return [shipment];
    const device = this.#devices.get(rows[0]?.device ?? '');
    if (device !== undefined) device.inFlight += 1;
    const middle = Math.ceil(rows.length / 2);
    return [rows.slice(0, middle), rows.slice(middle)].map((half) => aggregateOf(record.partitionKey, half));
  }

  join([first, ...others]: readonly [Shipment, ...Shipment[]]): Shipment {
    const device = this.#devices.get(first.rows[0]?.device ?? '');
    if (device !== undefined) device.inFlight -= others.length;
    const rows = [first, ...others].flatMap((part) => part.rows);
    return { ...aggregateOf(first.record.partitionKey, rows), attempts: first.attempts };
  }

  withNewKey({ rows, attempts }: Shipment): Shipment {
    return { ...aggregateOf(partitionKeyOf(this.#setting, rows[0]?.device ?? ''), rows), attempts };
  }

  withdraw(name: string): QueuedReading[] {
    const device = this.#devices.get(name);
    if (device === undefined) return [];
    const rows = device.rows.shift(device.rows.length);
    this.#size -= rows.length;
    device.bytes = 0;
    if (device.inFlight === 0) this.#devices.delete(name);
    return rows;
  }

  only(row: QueuedReading): Shipment {
    this.#rowsOf(row.device).inFlight += 1;
    return aggregateOf(partitionKeyOf(this.#setting, row.device), [row]);
  }

  finished(shipment: Shipment): void {
    const name = shipment.rows[0]?.device ?? '';
    const device = this.#devices.get(name);
    if (device === undefined) return;
    device.inFlight -= 1;
    if (device.inFlight === 0 && device.rows.length === 0) this.#devices.delete(name);
  }
}
