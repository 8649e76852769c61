/** Shipments to send again, each at its own time. */
import type { BatchLimits, Shipment } from './shipments.ts';

interface Retry {
  shipment: Shipment;
  atMs: number;
}

export class Retries {
  #retries: Retry[] = [];

  get size(): number {
    return this.#retries.length;
  }

  add(shipments: readonly Shipment[], atMs: (shipment: Shipment) => number): void {
    for (const shipment of shipments) this.#retries.push({ shipment, atMs: atMs(shipment) });
  }

  /** Removes those that match. */
  withdraw(matches: (shipment: Shipment) => boolean): Shipment[] {
    const withdrawn = this.#retries.filter(({ shipment }) => matches(shipment));
    if (withdrawn.length > 0) this.#retries = this.#retries.filter(({ shipment }) => !matches(shipment));
    return withdrawn.map(({ shipment }) => shipment);
  }

  /** How many are due, and how long until the next one that is not; undefined if there is none. */
  look(nowMs: number): { due: number; nextInMs: number | undefined } {
    let due = 0;
    let nextInMs: number | undefined;
    for (const { atMs } of this.#retries)
      if (atMs <= nowMs) due += 1;
      else nextInMs = Math.min(nextInMs ?? Number.POSITIVE_INFINITY, atMs - nowMs);
    return { due, nextInMs };
  }

  /** Takes those that are due, oldest first, within the limits; at least one if any is due. */
  takeDue(nowMs: number, { maxRecords, maxBytes }: BatchLimits): Shipment[] {
    const taken: Shipment[] = [];
    const left: Retry[] = [];
    let bytes = 0;
    for (const retry of this.#retries) {
      const fits = taken.length < maxRecords && (taken.length === 0 || bytes + retry.shipment.bytes <= maxBytes);
      if (retry.atMs > nowMs || !fits) left.push(retry);
      else {
        taken.push(retry.shipment);
        bytes += retry.shipment.bytes;
      }
    }
    this.#retries = left;
    return taken;
  }
}
