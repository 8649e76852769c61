/** The drain's queue in memory: order, backlog and refused keys as the real one has them (forwarder/queue/read-ahead.ts). */
import type { DrainQueue, QueuedReading, TakeLimits } from '../../../../forwarder/queue/drain-queue.ts';
import { RowFifo } from '../../../../forwarder/drain/row-fifo.ts';

export class SimulatedQueue implements DrainQueue {
  readonly #live = new RowFifo();
  readonly #backlog = new RowFifo();
  readonly #held = new Map<string, QueuedReading[]>();
  readonly #taken = new Map<number, QueuedReading>();
  readonly #onAcknowledged: (row: QueuedReading) => void;
  #readable: () => void = () => {};
  #nextId = 1;
  /** Rows that will never be shipped. */
  lost = 0;

  constructor(onAcknowledged: (row: QueuedReading) => void) {
    this.#onAcknowledged = onAcknowledged;
  }

  get depth(): number {
    let held = 0;
    for (const rows of this.#held.values()) held += rows.length;
    return this.#live.length + this.#backlog.length + this.#taken.size + held;
  }

  /** One commit: `readings` are pairs of device and JSON. */
  accept(readings: readonly (readonly [string, string])[], acceptedAtMs: number): void {
    for (const [device, data] of readings) {
      this.#live.push({ id: this.#nextId, device, data, acceptedAtMs, source: 'real', isBacklog: false });
      this.#nextId += 1;
    }
    this.#readable();
  }

  async take({ maxRows, backlogRows = maxRows }: TakeLimits): Promise<QueuedReading[]> {
    const live = this.#live.shift(Math.min(maxRows, this.#live.length));
    const backlog = this.#backlog.shift(Math.min(backlogRows, maxRows - live.length, this.#backlog.length));
    const rows = [...live, ...backlog].filter((row) => {
      const held = this.#held.get(row.device);
      held?.push(row);
      return held === undefined;
    });
    for (const row of rows) this.#taken.set(row.id, row);
    return await Promise.resolve(rows);
  }

  goLive(sinceMs: number): void {
    for (const row of this.#live.shift(this.#live.length)) {
      row.isBacklog = row.acceptedAtMs < sinceMs;
      (row.isBacklog ? this.#backlog : this.#live).push(row);
    }
  }

  acknowledge(ids: readonly number[]): void {
    for (const id of ids) {
      const row = this.#taken.get(id);
      if (row !== undefined) this.#onAcknowledged(row);
      this.#taken.delete(id);
    }
  }

  evict(ids: readonly number[]): void {
    for (const id of ids) this.#taken.delete(id);
    this.lost += ids.length;
  }

  bury(id: number): void {
    this.evict([id]);
  }

  putBack(device: string, ids: readonly number[]): void {
    const held = this.#held.get(device) ?? [];
    this.#held.set(device, held);
    for (const id of ids) {
      const row = this.#taken.get(id);
      if (row === undefined) continue;
      this.#taken.delete(id);
      held.push(row);
    }
    held.sort((a, b) => a.id - b.id);
  }

  release(device: string): void {
    const rows = this.#held.get(device) ?? [];
    this.#held.delete(device);
    this.#live.unshift(rows.filter(({ isBacklog }) => !isBacklog));
    this.#backlog.unshift(rows.filter(({ isBacklog }) => isBacklog));
    this.#readable();
  }

  on(_event: 'readable', listener: () => void): void {
    this.#readable = listener;
  }
}
