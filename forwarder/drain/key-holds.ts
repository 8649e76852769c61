/**
 * Retries records that failed inside an answered request, so that a refused partition key (refused-keys.ts) holds back only itself. Of a
 * held key the drain keeps one shipment, which it tries again and again; its other readings are put back and wait in the queue's file.
 * Once the key succeeds, they are read again, in order.
 *
 * What is tried takes room in the read-ahead and requests from the others, so a bounded number of keys is tried at a time. Of further ones
 * everything waits in the file; they take turns: one that was tried and failed is put back, and the one that has waited longest is tried.
 * With `KINESIS_PARTITION_KEY=random` no key is held: each attempt has another key, and so another shard.
 */
import type { Logger } from '../../service/log/log.ts';
import { RepeatLimiter } from '../../service/log/log.ts';
import type { Clock } from '../../service/pacing/clock.ts';
import { READ_AHEAD_ROWS, type DrainQueue, type QueuedReading } from '../queue/drain-queue.ts';
import { ownerNameOf } from '../queue/owners.ts';
import type { PoisonHunt } from './poison-hunt.ts';
import { RefusedKeys, type HeldKeys, type RefusedKey } from './refused-keys.ts';
import type { Retries } from './retries.ts';
import type { Shipment, Shipments } from './shipments.ts';
import type { TestReadings } from './test-readings.ts';

/** Held keys that are tried at a time. Each is tried about every 5 s: 200 records a second. */
const TRIED_MAX = READ_AHEAD_ROWS / 8;

/** A record that failed inside an answered request. */
export interface RecordFailure {
  shipment: Shipment;
  code: string;
}

export interface KeyHoldsOptions {
  log: Logger;
  queue: Pick<DrainQueue, 'take' | 'putBack' | 'release'>;
  shipments: Shipments;
  retries: Retries;
  hunt: PoisonHunt;
  /** KINESIS_PARTITION_KEY */
  keySetting: string;
  clock: Clock;
  /** A key is held from now on, of which this shipment was refused. */
  onHeld: (shipment: Shipment) => void;
  testReadings: Pick<TestReadings, 'admit'>;
  /** A key is held, or no longer. */
  onChange: () => void;
  /** There are readings to send that this did not return. */
  onRetry: () => void;
}

const keyOf = ({ record }: Shipment): string => record.partitionKey;
const deviceOf = ({ rows }: Shipment): string => rows[0]?.device ?? '';
const ownerOf = ({ rows }: Shipment): string => ownerNameOf(rows[0]?.device ?? '', rows[0]?.data ?? '');
const firstId = ({ rows }: Shipment): number => rows[0]?.id ?? 0;

export class KeyHolds implements HeldKeys {
  readonly #options: KeyHoldsOptions;
  readonly #refused: RefusedKeys;
  readonly #repeats: RepeatLimiter;
  /** Devices that the queue holds back. */
  readonly #devices = new Set<string>();
  /** Those of them that wait for their turn to be tried, longest first. */
  readonly #waiting = new Set<string>();

  constructor(options: KeyHoldsOptions) {
    this.#options = options;
    this.#refused = new RefusedKeys({ now: () => options.clock.nowMs() });
    this.#repeats = new RepeatLimiter(options.log);
  }

  get heldCount(): number {
    return this.#refused.heldCount;
  }

  longestHeld(limit: number): readonly RefusedKey[] {
    return this.#refused.longestHeld(limit);
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
      else if (keySetting !== 'device' || !this.#refused.failed(keyOf(shipment), code, () => ownerOf(shipment)))
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
    const all = [...waiting, ...failed].sort((a, b) => firstId(a) - firstId(b));
    const isNew = !this.#devices.has(device);
    this.#devices.add(device);
    const othersWait = this.#waiting.size > 0 || this.#triedCount > TRIED_MAX;
    const [tried] = all;
    const putBack = othersWait ? all : all.slice(1);
    if (othersWait) this.#waiting.add(device);
    else if (tried !== undefined) retries.add([tried], atMs);
    for (const shipment of putBack) shipments.finished(shipment);
    const rows = [...putBack.flatMap((shipment) => shipment.rows), ...shipments.withdraw(device)];
    if (isNew || rows.length > 0)
      queue.putBack(
        device,
        rows.map(({ id }) => id),
      );
    if (isNew) this.#options.onChange();
    // If its turn is over, the next one is tried when this one would have been, so the number of attempts a second does not grow.
    this.#tryNext(tried?.attempts ?? 0, atMs);
  }

  get #triedCount(): number {
    return this.#devices.size - this.#waiting.size;
  }

  #tryNext(attempts: number, atMs: (shipment: Shipment) => number): void {
    const [device] = this.#waiting;
    if (device === undefined || this.#triedCount >= TRIED_MAX) return;
    this.#waiting.delete(device);
    void this.#try(device, attempts, atMs);
  }

  async #try(device: string, attempts: number, atMs: (shipment: Shipment) => number): Promise<void> {
    const { queue, retries, shipments, testReadings, onRetry } = this.#options;
    let rows: readonly QueuedReading[];
    let admitted: readonly QueuedReading[];
    try {
      do {
        rows = await queue.take({ maxRows: 1, maxBytes: 1, ofHeld: device });
        admitted = testReadings.admit(rows);
      } while (rows.length > 0 && admitted.length === 0);
    } catch {
      // The queue is closed, or the row is damaged and the file is replaced.
      admitted = [];
    }
    const [row] = admitted;
    if (!this.#devices.has(device)) shipments.add(admitted);
    else if (row === undefined) this.#gone(device);
    else if (this.#waiting.has(device)) queue.putBack(device, [row.id]);
    else retries.add([{ ...shipments.only(row), attempts }], atMs);
    onRetry();
  }

  /** Nothing of a held device can be read: its readings were evicted, or will be read again. */
  #gone(device: string): void {
    // Keys are held only if they are devices.
    this.#refused.ended(device);
    this.#release(device);
    this.#options.onChange();
  }

  #release(device: string): void {
    this.#devices.delete(device);
    this.#waiting.delete(device);
    this.#options.queue.release(device);
    this.#tryNext(0, () => 0);
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
    this.#release(deviceOf(shipment));
    this.#repeats.info(
      'released',
      { event: 'key_accepted', key: keyOf(shipment) },
      'the stream accepts this partition key again',
    );
    this.#options.onChange();
  }
}
