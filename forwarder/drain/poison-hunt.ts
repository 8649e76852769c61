/**
 * Finds the record because of which a request is refused: the request is halved until that record is alone, and can be buried. The groups
 * are sent one after the other with nothing beside them, and a request that fails as a whole for another reason is sent again before the
 * next one. Records that fail inside an answered request are not what is searched: they are retried outside of the hunt. If 20 records in
 * a row would be buried and none was accepted between them, the records are not the cause: nothing more is buried until the stream accepts
 * one.
 */
import type { QueuedReading } from '../queue/drain-queue.ts';
import type { Shipment, Shipments } from './shipments.ts';

const BURIED_IN_A_ROW_MAX = 20;
/** While blocked, up to this many groups, other requests may be tried; refused ones join the groups. */
const GROUPS_WHILE_BLOCKED_MAX = 50;

/** What to do about a refused request: it was halved, this row is to be buried, or nothing may be buried now. */
export type Verdict = { kind: 'halved' } | { kind: 'bury'; shipment: Shipment; row: QueuedReading } | { kind: 'blocked' };

export class PoisonHunt {
  #groups: Shipment[][] = [];
  #buriedInARow = 0;
  #blocked = false;

  get active(): boolean {
    return this.#groups.length > 0;
  }

  /** Shipments held here. */
  get size(): number {
    return this.#groups.reduce((sum, group) => sum + group.length, 0);
  }

  /** Another request should be tried first: if it is refused, too, the records are not the cause. */
  get wantsOther(): boolean {
    return this.#blocked && this.#groups.length < GROUPS_WHILE_BLOCKED_MAX;
  }

  next(): Shipment[] {
    return this.#groups.shift() ?? [];
  }

  /** A group failed for another reason: it is sent again, before all others. */
  putBack(group: Shipment[]): void {
    this.#groups.unshift(group);
  }

  /** Removes the shipments that match, in their order. */
  withdraw(matches: (shipment: Shipment) => boolean): Shipment[] {
    const withdrawn = this.#groups.flat().filter(matches);
    if (withdrawn.length > 0)
      this.#groups = this.#groups
        .map((group) => group.filter((shipment) => !matches(shipment)))
        .filter(({ length }) => length > 0);
    return withdrawn;
  }

  /** A request was refused because of its content. */
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

  /** The stream accepted a record, so refusals are about the records. */
  shipped(): void {
    this.#buriedInARow = 0;
    this.#blocked = false;
  }
}
