/**
 * Finds the record for which a request is refused: the request is halved until that record is alone, then it is to be buried. Its groups
 * go one after the other with nothing beside them, and one that fails otherwise goes again before the next: the order of a device holds.
 * After 20 in a row buried, with none taken between, it is not the records: nothing more is buried until something else was taken.
 */
import type { QueuedReading } from '../queue/drain-queue.ts';
import type { Shipment, Shipments } from './shipments.ts';

const BURIED_IN_A_ROW_MAX = 20;
/** While blocked, so many other requests may be tried and join the groups. */
const GROUPS_WHILE_BLOCKED_MAX = 50;

/** What comes of a refused request: it was halved, this row is to be buried, or nothing may be buried now. */
export type Verdict = { kind: 'halved' } | { kind: 'bury'; shipment: Shipment; row: QueuedReading } | { kind: 'blocked' };

export class PoisonHunt {
  #groups: Shipment[][] = [];
  #buriedInARow = 0;
  #blocked = false;
  #notBeforeMs = 0;

  get active(): boolean {
    return this.#groups.length > 0;
  }

  /** Shipments that are held here. */
  get size(): number {
    return this.#groups.reduce((sum, group) => sum + group.length, 0);
  }

  /** Something else is to be tried first: whether it is refused too says whether it is the records. */
  get wantsOther(): boolean {
    return this.#blocked && this.#groups.length < GROUPS_WHILE_BLOCKED_MAX;
  }

  waitMs(nowMs: number): number {
    return Math.max(0, this.#notBeforeMs - nowMs);
  }

  next(): Shipment[] {
    return this.#groups.shift() ?? [];
  }

  /** A group failed for another reason: it goes again, before all others. */
  putBack(group: Shipment[], notBeforeMs: number): void {
    this.#groups.unshift(group);
    this.#notBeforeMs = notBeforeMs;
  }

  /** A request was refused for what is in it. */
  refused(group: Shipment[], shipments: Shipments): Verdict {
    const only = group[0];
    if (only === undefined) return { kind: 'halved' };
    if (group.length > 1) {
      const middle = Math.ceil(group.length / 2);
      this.#groups.unshift(group.slice(0, middle), group.slice(middle));
      return { kind: 'halved' };
    }
    const halves = shipments.halve(only);
    if (halves.length > 1) {
      this.#groups.unshift(...halves.map((half) => [half]));
      return { kind: 'halved' };
    }
    const row = only.rows[0];
    if (this.#buriedInARow >= BURIED_IN_A_ROW_MAX || row === undefined) {
      this.#blocked = true;
      this.#groups.unshift(group);
      return { kind: 'blocked' };
    }
    this.#buriedInARow += 1;
    return { kind: 'bury', shipment: only, row };
  }

  /** Something was taken: it is the records. */
  taken(): void {
    this.#buriedInARow = 0;
    this.#blocked = false;
  }
}
