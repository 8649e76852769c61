/** Shipments to send again, each at its own time. */
import type { ShardPacer } from './shard-pacer.ts';
import type { ShardPacing } from './shard-pacing.ts';
import { addDemand, type BatchLimits, type Demand, type Part, type Shipment } from './shipments.ts';

interface Retry {
  shipment: Shipment;
  atMs: number;
  part: Part;
}

export class Retries {
  #retries: Retry[] = [];

  get size(): number {
    return this.#retries.length;
  }

  add(shipments: readonly Shipment[], atMs: (shipment: Shipment) => number): void {
    for (const shipment of shipments)
      this.#retries.push({ shipment, atMs: atMs(shipment), part: shipment.rows[0]?.isBacklog === true ? 'backlog' : 'live' });
  }

  /** What was accepted before this time (ms since the epoch) belongs to the backlog from now on. */
  setBehind(sinceMs: number): void {
    for (const retry of this.#retries) if ((retry.shipment.rows[0]?.acceptedAtMs ?? 0) < sinceMs) retry.part = 'backlog';
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

  /** Adds what is due to what could be sent to each shard. */
  demand(nowMs: number, pacing: ShardPacing, into: Map<ShardPacer, Demand>): void {
    for (const { atMs, shipment } of this.#retries)
      if (atMs <= nowMs) addDemand(into, pacing.pacerOf(shipment.record.partitionKey), 1, shipment.bytes);
  }

  /** Takes those that are due, oldest first, within the limits and within what their shards grant. */
  takeDue(nowMs: number, pacing: ShardPacing, { maxRecords, maxBytes, isForced, isFirst }: BatchLimits, part: Part): Shipment[] {
    if (this.#retries.length === 0) return [];
    const taken: Shipment[] = [];
    const left: Retry[] = [];
    let bytes = 0;
    for (const retry of this.#retries) {
      const { shipment, atMs } = retry;
      const fits = taken.length < maxRecords && ((isFirst && taken.length === 0) || bytes + shipment.bytes <= maxBytes);
      const pacer = atMs <= nowMs && retry.part === part && fits ? pacing.pacerOf(shipment.record.partitionKey) : undefined;
      if (pacer === undefined || !(isForced || pacer.may(shipment.bytes))) left.push(retry);
      else {
        pacer.take(shipment.bytes);
        shipment.pacer = pacer;
        taken.push(shipment);
        bytes += shipment.bytes;
      }
    }
    this.#retries = left;
    return taken;
  }
}
