/**
 * Retries records that failed inside an answered request, so that a refused partition key (refused-keys.ts) holds back only itself. Of a
 * held key the drain keeps one shipment, which it tries again and again; its other readings are put back and wait in the queue's file.
 * Once the key succeeds, they are read again, in order.
 * With `KINESIS_PARTITION_KEY=random` no key is held: each attempt has another key, and so another shard.
 */
import type { Logger } from '../../service/log/log.ts';
import { RepeatLimiter } from '../../service/log/log.ts';
import type { Clock } from '../../service/pacing/clock.ts';
import type { DrainQueue, QueuedReading } from '../queue/drain-queue.ts';
import type { PoisonHunt } from './poison-hunt.ts';
import { RefusedKeys, type RefusedKey } from './refused-keys.ts';
import type { Retries } from './retries.ts';
import type { Shipment, Shipments } from './shipments.ts';

/** A record that failed inside an answered request. */
export interface RecordFailure {
  shipment: Shipment;
  code: string;
}

export interface KeyHoldsOptions {
  log: Logger;
  queue: Pick<DrainQueue, 'putBack' | 'release'>;
  shipments: Shipments;
  retries: Retries;
  hunt: PoisonHunt;
  /** KINESIS_PARTITION_KEY */
  keySetting: string;
  clock: Clock;
  /** A key is held from now on, of which this shipment was refused. */
  onHeld: (shipment: Shipment) => void;
  /** A key is held, or no longer. */
  onChange: () => void;
}

const keyOf = ({ record }: Shipment): string => record.partitionKey;
const deviceOf = ({ rows }: Shipment): string => rows[0]?.device ?? '';
const firstId = ({ rows }: Shipment): number => rows[0]?.id ?? 0;

export class KeyHolds {
  readonly #options: KeyHoldsOptions;
  readonly #refused: RefusedKeys;
  readonly #repeats: RepeatLimiter;
  /** Devices that the queue holds back. */
  readonly #devices = new Set<string>();

  constructor(options: KeyHoldsOptions) {
    this.#options = options;
    this.#refused = new RefusedKeys(() => options.clock.nowMs());
    this.#repeats = new RepeatLimiter(options.log);
  }

  get held(): readonly RefusedKey[] {
    return this.#refused.held;
  }

  isHeld(shipment: Shipment): boolean {
    return this.#refused.isHeld(keyOf(shipment));
  }

  /** Whether the key is held, and others were shipped since it is refused: its failures say nothing about the stream. */
  isOnlyKey(shipment: Shipment, lastShippedMs: number): boolean {
    return (this.#refused.heldKey(keyOf(shipment))?.sinceMs ?? Number.POSITIVE_INFINITY) < lastShippedMs;
  }

  /** Schedules the retries of failed records, each at its own time. */
  retry(failures: readonly RecordFailure[], atMs: (shipment: Shipment) => number): void {
    const { retries, shipments, keySetting } = this.#options;
    const ofHeld = new Map<string, Shipment[]>();
    for (const { shipment, code } of failures) {
      if (keySetting === 'random') retries.add([shipments.withNewKey(shipment)], atMs);
      else if (keySetting !== 'device' || !this.#refused.failed(keyOf(shipment), code))
        retries.add([this.#whole(shipment)], atMs);
      else {
        const known = ofHeld.get(deviceOf(shipment)) ?? [];
        ofHeld.set(deviceOf(shipment), [...known, this.#whole(shipment)]);
        if (this.#devices.has(deviceOf(shipment))) continue;
        this.#options.onHeld(shipment);
        this.#logHeld(keyOf(shipment), code);
      }
    }
    for (const [device, failed] of ofHeld) this.#hold(device, failed, atMs);
  }

  /** In aggregated mode: with the later parts of its aggregate, which the poison hunt has; they must not overtake it. */
  #whole(shipment: Shipment): Shipment {
    const { shipments, hunt } = this.#options;
    const parts = shipments.keepsOrder ? hunt.withdraw((other) => deviceOf(other) === deviceOf(shipment)) : [];
    return parts.length === 0 ? shipment : shipments.join([shipment, ...parts]);
  }

  #hold(device: string, failed: readonly Shipment[], atMs: (shipment: Shipment) => number): void {
    const { queue, retries, shipments } = this.#options;
    const waiting = retries.withdraw((shipment) => deviceOf(shipment) === device);
    const [tried, ...others] = [...waiting, ...failed].sort((a, b) => firstId(a) - firstId(b));
    if (tried !== undefined) retries.add([tried], atMs);
    for (const other of others) shipments.finished(other);
    const rows = [...others.flatMap((other) => other.rows), ...shipments.withdraw(device)];
    const isNew = !this.#devices.has(device);
    this.#devices.add(device);
    if (isNew || rows.length > 0)
      queue.putBack(
        device,
        rows.map(({ id }) => id),
      );
    if (isNew) this.#options.onChange();
  }

  #logHeld(key: string, code: string): void {
    this.#repeats.warn(
      'held',
      { event: 'key_refused', key, code },
      'the stream refuses this partition key: its readings wait in the queue, all others are shipped',
    );
  }

  /** Rows that were read before the queue knew of a hold are put back. */
  admit(rows: readonly QueuedReading[]): readonly QueuedReading[] {
    if (this.#devices.size === 0) return rows;
    const ofHeld = new Map<string, number[]>();
    for (const { device, id } of rows) if (this.#devices.has(device)) ofHeld.set(device, [...(ofHeld.get(device) ?? []), id]);
    for (const [device, ids] of ofHeld) this.#options.queue.putBack(device, ids);
    return rows.filter(({ device }) => !this.#devices.has(device));
  }

  /** A shipment was stored, or moved to the dead letters: its key may be tried with other readings. */
  ended(shipment: Shipment): void {
    if (!this.#refused.ended(keyOf(shipment))) return;
    const device = deviceOf(shipment);
    this.#devices.delete(device);
    this.#options.queue.release(device);
    this.#repeats.info(
      'released',
      { event: 'key_accepted', key: keyOf(shipment) },
      'the stream accepts this partition key again',
    );
    this.#options.onChange();
  }
}
