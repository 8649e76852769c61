/** Turns queued readings into records, in the order of acceptance: one record per reading, or aggregates (aggregates.ts). */
import type { Config } from '../../service/config/config.ts';
import type { QueuedReading } from '../queue/drain-queue.ts';
import type { SinkRecord } from '../sink/sink.ts';
import { partitionKeyOf } from './partition-key.ts';

/** One record, and the rows in it. */
export interface Shipment {
  rows: readonly QueuedReading[];
  record: SinkRecord;
  /** Data and key, as a shard's limit counts them. */
  bytes: number;
  attempts: number;
}

export interface BatchLimits {
  maxRecords: number;
  maxBytes: number;
}

/** Rows that wait to be sent. */
export interface Shipments {
  /** Number of waiting rows. */
  readonly size: number;
  /** Number of records that could be sent now, at most as many as a request holds. */
  readonly ready: number;
  /** Estimated bytes of a record. */
  readonly recordBytes: number;
  /** Whether there is enough for another request beside one in flight. */
  readonly full: boolean;
  readonly oldestAcceptedAtMs: number | undefined;
  add(rows: readonly QueuedReading[]): void;
  /** The next shipments within the limits. A shipment larger than the limit is returned alone. */
  next(limits: BatchLimits): Shipment[];
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
  /** A shipment of a row that is not among the waiting ones. */
  only(row: QueuedReading): Shipment;
  /** A shipment was shipped or buried. */
  finished(shipment: Shipment): void;
}

export type KinesisSettings = Pick<Config, 'KINESIS_MODE' | 'KINESIS_PARTITION_KEY'>;

/** The most records of a PutRecords request. */
export const BATCH_RECORDS = 500;
const GUESSED_BYTES = 300;

export function shipmentOf(rows: readonly QueuedReading[], partitionKey: string, data: Buffer): Shipment {
  return { rows, record: { partitionKey, data }, bytes: data.length + Buffer.byteLength(partitionKey), attempts: 0 };
}

/** A queue of rows. */
export class RowFifo {
  #rows: QueuedReading[] = [];
  #from = 0;

  get length(): number {
    return this.#rows.length - this.#from;
  }

  at(index: number): QueuedReading | undefined {
    return this.#rows[this.#from + index];
  }

  push(row: QueuedReading): void {
    this.#rows.push(row);
  }

  /** Removes the rows of a device. */
  withdraw(device: string): QueuedReading[] {
    const rows = this.#rows.slice(this.#from);
    this.#rows = rows.filter((row) => row.device !== device);
    this.#from = 0;
    return rows.filter((row) => row.device === device);
  }

  shift(count: number): QueuedReading[] {
    const rows = this.#rows.slice(this.#from, this.#from + count);
    this.#from += rows.length;
    if (this.#from >= 1000 || this.#from === this.#rows.length) {
      this.#rows = this.#rows.slice(this.#from);
      this.#from = 0;
    }
    return rows;
  }
}

/** `KINESIS_MODE=records`: one record per reading, its JSON and a newline. */
export class SingleShipments implements Shipments {
  readonly #config: KinesisSettings;
  readonly #rows = new RowFifo();
  /** Kinesis promises no order of the records within a request, so nothing is gained by waiting for a failed one. */
  readonly keepsOrder = false;
  #recordBytes = GUESSED_BYTES;

  constructor(config: KinesisSettings) {
    this.#config = config;
  }

  get size(): number {
    return this.#rows.length;
  }
  get ready(): number {
    return Math.min(this.#rows.length, BATCH_RECORDS);
  }
  get recordBytes(): number {
    return this.#recordBytes;
  }
  get full(): boolean {
    return this.#rows.length >= BATCH_RECORDS;
  }
  get oldestAcceptedAtMs(): number | undefined {
    return this.#rows.at(0)?.acceptedAtMs;
  }

  add(rows: readonly QueuedReading[]): void {
    for (const row of rows) this.#rows.push(row);
  }

  next({ maxRecords, maxBytes }: BatchLimits): Shipment[] {
    const shipments: Shipment[] = [];
    let bytes = 0;
    while (shipments.length < maxRecords) {
      const row = this.#rows.at(shipments.length);
      if (row === undefined) break;
      const shipment = this.only(row);
      bytes += shipment.bytes;
      if (shipments.length > 0 && bytes > maxBytes) {
        bytes -= shipment.bytes;
        break;
      }
      shipments.push(shipment);
    }
    this.#rows.shift(shipments.length);
    if (shipments.length > 0) this.#recordBytes = bytes / shipments.length;
    return shipments;
  }

  only(row: QueuedReading): Shipment {
    const key = partitionKeyOf(this.#config.KINESIS_PARTITION_KEY, row.device);
    return shipmentOf([row], key, Buffer.from(`${row.data}\n`));
  }

  halve(shipment: Shipment): Shipment[] {
    return [shipment];
  }

  join([shipment]: readonly [Shipment, ...Shipment[]]): Shipment {
    return shipment;
  }

  withNewKey(shipment: Shipment): Shipment {
    const { rows, record, attempts } = shipment;
    const key = partitionKeyOf(this.#config.KINESIS_PARTITION_KEY, rows[0]?.device ?? '');
    return { ...shipmentOf(rows, key, record.data), attempts };
  }

  withdraw(device: string): QueuedReading[] {
    return this.#rows.withdraw(device);
  }

  finished(): void {}
}
