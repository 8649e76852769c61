/**
 * Composes requests from what waits: first what is not backlog, then the backlog; of each, what has to be sent again goes first. A shard
 * gets no more than its pacer grants.
 */
import type { Clock } from '../../service/pacing/clock.ts';
import type { DrainQueue } from '../queue/drain-queue.ts';
import type { KeyHolds } from './key-holds.ts';
import type { Retries } from './retries.ts';
import type { ShardPacer } from './shard-pacer.ts';
import type { ShardPacing } from './shard-pacing.ts';
import { BATCH_RECORDS, bytesOf, type BatchLimits, type Demand, type Shipment, type Shipments } from './shipments.ts';
import type { StreamLimits } from './stream-limits.ts';
import type { UplinkBudget } from './uplink-budget.ts';

/** Below PutRecords' limit of 5 MiB per request, which includes partition keys. */
const BATCH_BYTES = 4.9 * 1024 * 1024;
/** Until the stream's limit of a record is known. */
const SIZE_RETRY_MS = 1000;

export interface ComposerOptions {
  clock: Clock;
  queue: Pick<DrainQueue, 'bury'>;
  shipments: Shipments;
  retries: Retries;
  holds: Pick<KeyHolds, 'ended'>;
  pacing: ShardPacing;
  limits: StreamLimits;
  budget: UplinkBudget;
}

export class BatchComposer {
  readonly #options: ComposerOptions;

  constructor(options: ComposerOptions) {
    this.#options = options;
  }

  /** Milliseconds until a shard grants a request that is worth sending, or all of them together grant a full one. */
  shardsWaitMs(): number {
    const { shipments, retries, pacing, clock } = this.#options;
    const demands = new Map<ShardPacer, Demand>();
    shipments.demand(demands);
    retries.demand(clock.nowMs(), pacing, demands);
    let granted = 0;
    let soonestMs = Number.POSITIVE_INFINITY;
    for (const [pacer, { records, bytes }] of demands) {
      const waitMs = pacer.waitMs(records, bytes / records, BATCH_RECORDS);
      if (waitMs === 0) return 0;
      soonestMs = Math.min(soonestMs, waitMs);
      granted += Math.min(records, pacer.mayRecords(bytes / records));
    }
    return granted >= BATCH_RECORDS || soonestMs === Number.POSITIVE_INFINITY ? 0 : soonestMs;
  }

  /** The next request; empty if nothing can be sent now. A probe is one record, whatever the shards grant. */
  compose(isProbe: boolean): Shipment[] {
    const { shipments: waiting, retries, pacing, budget, clock } = this.#options;
    const batch: Shipment[] = [];
    const rest = (): BatchLimits => ({
      maxRecords: (isProbe ? 1 : Math.min(BATCH_RECORDS, budget.maxRecords)) - batch.length,
      maxBytes: Math.min(BATCH_BYTES, budget.maxBytes) - bytesOf(batch),
      isForced: isProbe,
      isFirst: batch.length === 0,
    });
    for (const part of ['live', 'backlog'] as const) {
      batch.push(...retries.takeDue(clock.nowMs(), pacing, rest(), part));
      for (const shipment of waiting.next(rest(), part)) if (this.#isSendable(shipment)) batch.push(shipment);
    }
    for (const pacer of new Set(batch.map((shipment) => shipment.pacer))) pacer?.composed();
    return batch;
  }

  #isSendable(shipment: Shipment): boolean {
    const { limits, shipments, retries, clock } = this.#options;
    const isTaken = limits.takes(shipment.bytes);
    if (isTaken === true) return true;
    shipments.landed([shipment]);
    if (isTaken === undefined) retries.add([shipment], () => clock.nowMs() + SIZE_RETRY_MS);
    else this.#tooLarge(shipment);
    return false;
  }

  #tooLarge(shipment: Shipment): void {
    const { shipments, holds, queue, limits } = this.#options;
    shipments.finished(shipment);
    holds.ended(shipment);
    for (const row of shipment.rows)
      queue.bury(
        row.id,
        'record_too_large',
        `${shipment.bytes} bytes including its key; the stream takes at most ${limits.maxRecordBytes}`,
      );
  }
}
