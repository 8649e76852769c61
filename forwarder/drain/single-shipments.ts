/**
 * `KINESIS_MODE=records`: one record per reading, its JSON and a newline. New readings go before a backlog (*live first*), except that no
 * reading overtakes one of the same device that is in flight.
 */
import type { QueuedReading } from '../queue/drain-queue.ts';
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

const GUESSED_BYTES = 300;

/** The rows that wait for one shard. */
class Lane {
  readonly pacer: ShardPacer;
  readonly live = new RowFifo();
  readonly behind = new RowFifo();

  constructor(pacer: ShardPacer) {
    this.pacer = pacer;
  }

  get length(): number {
    return this.live.length + this.behind.length;
  }
}

interface Taking {
  shipments: Shipment[];
  bytes: number;
  limits: BatchLimits;
  isFull: boolean;
}

export class SingleShipments implements Shipments {
  readonly #setting: string;
  readonly #pacing: ShardPacing;
  #lanes = new Map<ShardPacer, Lane>();
  /** Kinesis promises no order of the records within a request, so nothing is gained by waiting for a failed one. */
  readonly keepsOrder = false;
  #recordBytes = GUESSED_BYTES;
  #size = 0;
  #liveSize = 0;
  /** Lanes of which nothing of the backlog may leave now, because a new reading waits for one in flight. */
  readonly #blocked = new Set<Lane>();
  /** Which lane is first in the next request. */
  #turn = 0;
  /** For KINESIS_PARTITION_KEY=random: the keys of waiting rows, by their ids. */
  readonly #keys = new Map<number, string>();
  /** How many rows of the backlog are in flight, by device. */
  readonly #inFlight = new Map<string, number>();

  constructor(config: KinesisSettings, pacing: ShardPacing) {
    this.#setting = config.KINESIS_PARTITION_KEY;
    this.#pacing = pacing;
  }

  get size(): number {
    return this.#size;
  }
  get liveSize(): number {
    return this.#liveSize;
  }
  get ready(): number {
    return Math.min(this.#size, BATCH_RECORDS);
  }
  get recordBytes(): number {
    return this.#recordBytes;
  }
  get full(): boolean {
    return this.#size >= BATCH_RECORDS;
  }
  get oldestAcceptedAtMs(): number | undefined {
    let oldest: number | undefined;
    for (const { live, behind } of this.#lanes.values()) {
      const at = (this.#liveSize > 0 ? live : behind).at(0)?.acceptedAtMs;
      if (at !== undefined && (oldest === undefined || at < oldest)) oldest = at;
    }
    return oldest;
  }

  demand(into: Map<ShardPacer, Demand>): void {
    for (const { pacer, length } of this.#lanes.values())
      if (length > 0) addDemand(into, pacer, length, length * this.#recordBytes);
  }

  #keyOf(row: QueuedReading): string {
    if (this.#setting !== 'random') return partitionKeyOf(this.#setting, row.device);
    let key = this.#keys.get(row.id);
    if (key === undefined) this.#keys.set(row.id, (key = partitionKeyOf(this.#setting, row.device)));
    return key;
  }

  #laneOf(row: QueuedReading): Lane {
    const pacer = this.#pacing.pacerOf(this.#keyOf(row));
    let lane = this.#lanes.get(pacer);
    if (lane === undefined) this.#lanes.set(pacer, (lane = new Lane(pacer)));
    return lane;
  }

  add(rows: readonly QueuedReading[]): void {
    for (const row of rows)
      if (row.isBacklog) this.#laneOf(row).behind.push(row);
      else {
        this.#laneOf(row).live.push(row);
        this.#liveSize += 1;
      }
    this.#size += rows.length;
  }

  setBehind(sinceMs: number): void {
    this.#liveSize = 0;
    for (const { live, behind } of this.#lanes.values())
      for (const row of live.shift(live.length)) {
        row.isBacklog = row.acceptedAtMs < sinceMs;
        if (row.isBacklog) behind.push(row);
        else {
          live.push(row);
          this.#liveSize += 1;
        }
      }
  }

  regroup(): void {
    const lanes = this.#lanes;
    this.#lanes = new Map();
    for (const { live, behind } of lanes.values()) {
      for (const row of live.shift(live.length)) this.#laneOf(row).live.push(row);
      for (const row of behind.shift(behind.length)) this.#laneOf(row).behind.push(row);
    }
  }

  putBack(shipments: readonly Shipment[]): readonly Shipment[] {
    for (const part of ['live', 'behind'] as const) {
      const rows = new Map<Lane, QueuedReading[]>();
      for (const {
        rows: [row],
      } of shipments) {
        if (row === undefined || row.isBacklog !== (part === 'behind')) continue;
        const lane = this.#laneOf(row);
        rows.set(lane, [...(rows.get(lane) ?? []), row]);
      }
      for (const [lane, some] of rows) lane[part].unshift(some);
      if (part === 'live') for (const some of rows.values()) this.#liveSize += some.length;
    }
    this.#size += shipments.length;
    return [];
  }

  next(limits: BatchLimits, part: Part): Shipment[] {
    if (part === 'live') this.#blocked.clear();
    const taking: Taking = { shipments: [], bytes: 0, limits, isFull: limits.maxRecords <= 0 || limits.maxBytes <= 0 };
    if (taking.isFull || this.#size === 0 || (part === 'live' && this.#liveSize === 0)) return [];
    const lanes = [...this.#lanes.values()].filter(({ length }) => length > 0);
    if (part === 'live') this.#turn = (this.#turn + 1) % Math.max(1, lanes.length);
    for (const lane of [...lanes.slice(this.#turn), ...lanes.slice(0, this.#turn)]) {
      if (part === 'backlog' && !this.#blocked.has(lane)) this.#takeBehind(lane, taking);
      if (part === 'live' && !this.#takeLive(lane, taking)) this.#blocked.add(lane);
    }
    const { shipments, bytes } = taking;
    if (shipments.length > 0) this.#recordBytes = bytes / shipments.length;
    this.#size -= shipments.length;
    return shipments;
  }

  /** Adds a record for this row; undefined if limits or shard do not allow it now. */
  #add(row: QueuedReading, pacer: ShardPacer, taking: Taking): Shipment | undefined {
    const { shipments, limits } = taking;
    if (shipments.length >= limits.maxRecords) {
      taking.isFull = true;
      return undefined;
    }
    const key = this.#keyOf(row);
    const shipment = shipmentOf([row], key, Buffer.from(`${row.data}\n`));
    const { bytes } = shipment;
    if (!(limits.isFirst && shipments.length === 0) && taking.bytes + bytes > limits.maxBytes) {
      taking.isFull = true;
      return undefined;
    }
    if (!limits.isForced && !pacer.may(bytes)) return undefined;
    pacer.take(bytes);
    shipment.pacer = pacer;
    taking.bytes += bytes;
    shipments.push(shipment);
    if (this.#setting === 'random') this.#keys.delete(row.id);
    return shipment;
  }

  /** False if a row has to wait for one of its device in flight: nothing else of that device may leave before it. */
  #takeLive({ live, pacer }: Lane, taking: Taking): boolean {
    const waiting: QueuedReading[] = [];
    let count = 0;
    for (let row = live.at(0); row !== undefined && !taking.isFull; row = live.at(count)) {
      if (this.#inFlight.size > 0 && this.#inFlight.has(row.device)) waiting.push(row);
      else if (this.#add(row, pacer, taking) !== undefined) this.#liveSize -= 1;
      else break;
      count += 1;
    }
    live.shift(count);
    live.unshift(waiting);
    return waiting.length === 0;
  }

  #takeBehind({ behind, pacer }: Lane, taking: Taking): void {
    let count = 0;
    for (let row = behind.at(0); row !== undefined && !taking.isFull; row = behind.at(count)) {
      const shipment = this.#add(row, pacer, taking);
      if (shipment === undefined) break;
      shipment.isBacklog = true;
      this.#inFlight.set(row.device, (this.#inFlight.get(row.device) ?? 0) + 1);
      count += 1;
    }
    behind.shift(count);
  }

  landed(shipments: readonly Shipment[]): void {
    if (this.#inFlight.size === 0) return;
    for (const shipment of shipments) {
      if (shipment.isBacklog !== true) continue;
      // If it is sent again, it is a retry: newer readings do not wait for these.
      shipment.isBacklog = false;
      const device = shipment.rows[0]?.device ?? '';
      const left = (this.#inFlight.get(device) ?? 0) - 1;
      if (left > 0) this.#inFlight.set(device, left);
      else this.#inFlight.delete(device);
    }
  }

  only(row: QueuedReading): Shipment {
    return shipmentOf([row], partitionKeyOf(this.#setting, row.device), Buffer.from(`${row.data}\n`));
  }

  halve(shipment: Shipment): Shipment[] {
    return [shipment];
  }

  join([shipment]: readonly [Shipment, ...Shipment[]]): Shipment {
    return shipment;
  }

  withNewKey(shipment: Shipment): Shipment {
    const { rows, record, attempts } = shipment;
    const key = partitionKeyOf(this.#setting, rows[0]?.device ?? '');
    return { ...shipmentOf(rows, key, record.data), attempts };
  }

  withdraw(device: string): QueuedReading[] {
    const withdrawn: QueuedReading[] = [];
    for (const { live, behind } of this.#lanes.values()) {
      const behindRows = behind.withdraw(device);
      const liveRows = live.withdraw(device);
      this.#liveSize -= liveRows.length;
      withdrawn.push(...behindRows, ...liveRows);
    }
    this.#size -= withdrawn.length;
    return withdrawn;
  }

  finished(): void {}
}
