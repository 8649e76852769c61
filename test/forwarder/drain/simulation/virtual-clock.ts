/** Time that passes only as events happen: hours in seconds. The product's own code runs on it, by its `Clock`. */
import type { Clock, Timer } from '../../../../service/pacing/clock.ts';

/** The wall clock shows this at the start. */
const EPOCH_MS = Date.UTC(2026, 10, 30);

interface Event {
  atMs: number;
  /** Events of one moment happen in the order in which they were set. */
  order: number;
  run: (() => void) | undefined;
}

const isBefore = (a: Event, b: Event): boolean => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);

export class VirtualClock implements Clock {
  readonly #random: () => number;
  /** A binary heap; its first event is the next one. */
  readonly #events: Event[] = [];
  #nowMs = 0;
  #order = 0;

  constructor(random: () => number) {
    this.#random = random;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  dateMs(): number {
    return EPOCH_MS + this.#nowMs;
  }

  random(): number {
    return this.#random();
  }

  after(ms: number, run: () => void): Timer {
    const event: Event = { atMs: this.#nowMs + Math.max(0, ms), order: (this.#order += 1), run };
    this.#push(event);
    return { cancel: () => (event.run = undefined) };
  }

  /** Resolves after `ms` milliseconds of virtual time. */
  async sleep(ms: number): Promise<void> {
    await new Promise<void>((resolve) => this.after(ms, resolve));
  }

  /** Runs events until `untilMs`, or until `isDone` says so. Between two events all promises settle. */
  async run(untilMs: number, isDone: () => boolean = () => false): Promise<void> {
    for (let event = this.#events[0]; event !== undefined && event.atMs <= untilMs; event = this.#events[0]) {
      this.#pop();
      if (event.run === undefined) continue;
      this.#nowMs = event.atMs;
      event.run();
      await new Promise(setImmediate);
      if (isDone()) return;
    }
    this.#nowMs = Math.max(this.#nowMs, untilMs);
  }

  #push(event: Event): void {
    const heap = this.#events;
    let at = heap.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || !isBefore(event, above)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): void {
    const heap = this.#events;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      const right = heap[child + 1];
      const left = heap[child];
      if (left === undefined) break;
      if (right !== undefined && isBefore(right, left)) child += 1;
      const least = heap[child];
      if (least === undefined || !isBefore(least, last)) break;
      heap[at] = least;
      at = child;
    }
    heap[at] = last;
  }
}
