/**
 * Memory that clients that are no services use, by use and together. Each use has a bound of its own; together they may use less than the
 * sum, so that no combination of attacks exceeds what the box has.
 */
import type { ClientLimits } from '../client-limits.ts';

export type MemoryUse = 'retained' | 'subscriptions' | 'backlogs' | 'incoming' | 'held';

export class MemoryBudget {
  readonly #limits: Readonly<Record<MemoryUse, number>>;
  readonly #allBytes: number;
  readonly #bytes: Record<MemoryUse, number> = { retained: 0, subscriptions: 0, backlogs: 0, incoming: 0, held: 0 };
  #total = 0;

  constructor(limits: ClientLimits, retainedBytes: number) {
    this.#limits = {
      retained: retainedBytes,
      subscriptions: limits.memoryOfSubscriptions,
      backlogs: limits.memoryOfBacklogs,
      incoming: limits.memoryOfIncoming,
      held: limits.memoryOfHeld,
    };
    // An operator who raises MQTT_MAX_RETAINED_BYTES has the memory for it.
    this.#allBytes = limits.memoryOfAll + Math.max(0, retainedBytes - limits.memoryOfAll / 4);
  }

  /** Adds to a use, or takes away. */
  add(use: MemoryUse, bytes: number): void {
    this.#bytes[use] += bytes;
    this.#total += bytes;
  }

  /** True if so many more bytes fit the use and the whole. */
  hasRoom(use: MemoryUse, bytes = 0): boolean {
    return this.#bytes[use] + bytes <= this.#limits[use] && this.#total + bytes <= this.#allBytes;
  }

  bytesOf(use: MemoryUse): number {
    return this.#bytes[use];
  }

  get total(): number {
    return this.#total;
  }
}
