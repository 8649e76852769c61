/**
 * Takes rows from the queue in time, so that the drain always has enough to send, and keeps apart what is new and what is backlog: a full
 * read-ahead of backlog must not keep new readings in the file.
 */
import { READ_AHEAD_ROWS, type DrainQueue } from '../queue/drain-queue.ts';
import type { KeyHolds } from './key-holds.ts';
import type { Shipments } from './shipments.ts';
import type { TestReadings } from './test-readings.ts';

const TAKE_ROWS = 2000;
const TAKE_BYTES = 4 * 1024 * 1024;
/** While there is a backlog, the drain has at most about this many rows that go before it. */
const LIVE_ROWS = 2000;

export interface SupplyOptions {
  queue: DrainQueue;
  shipments: Shipments;
  holds: Pick<KeyHolds, 'admit'>;
  testReadings: Pick<TestReadings, 'admit'>;
  /** Rows that the drain has outside of `shipments`. */
  heldElsewhere: () => number;
  /** Rows have come. */
  onRows: () => void;
}

export class Supply {
  readonly #options: SupplyOptions;
  #taking = false;
  #mayHaveMore = true;
  #mayHaveBacklog = false;
  /** Rows that were accepted before are backlog: the time of the last `goLive`. */
  #liveSinceMs = 0;

  constructor(options: SupplyOptions) {
    this.#options = options;
  }

  start(): void {
    this.#options.queue.on('readable', () => {
      this.#mayHaveMore = true;
      // Rows of the backlog that were passed over may be readable now.
      if (this.#isSplit) this.#mayHaveBacklog = true;
      this.#options.onRows();
    });
  }

  get #isSplit(): boolean {
    const { size, liveSize } = this.#options.shipments;
    return this.#mayHaveBacklog || size > liveSize;
  }

  /** What was accepted before this time (ms since the epoch) is backlog: later readings go before it. */
  goLive(sinceMs: number): void {
    this.#liveSinceMs = sinceMs;
    this.#options.shipments.setBehind(sinceMs);
    this.#options.queue.goLive(sinceMs);
    this.#mayHaveBacklog = true;
  }

  refill(): void {
    const { shipments, heldElsewhere } = this.#options;
    const room = READ_AHEAD_ROWS - shipments.size - heldElsewhere();
    const liveRoom = this.#isSplit ? LIVE_ROWS - shipments.liveSize : room;
    const backlogRows = this.#mayHaveBacklog ? Math.max(0, Math.min(TAKE_ROWS, room)) : 0;
    const wantsLive = this.#mayHaveMore && liveRoom > 0;
    if (this.#taking || !(wantsLive || backlogRows > 0)) return;
    this.#take(this.#mayHaveBacklog ? backlogRows : undefined);
  }

  /** `backlogRows`: undefined if no backlog is known. */
  #take(backlogRows: number | undefined): void {
    const { queue, shipments, holds, testReadings, onRows } = this.#options;
    this.#taking = true;
    // Before the rows are requested: a commit meanwhile sets it again.
    this.#mayHaveMore = false;
    const liveSinceMs = this.#liveSinceMs;
    // While there is a backlog, a request that waits for new rows would keep the drain from asking for more of it.
    const limits = this.#isSplit ? { backlogRows: backlogRows ?? TAKE_ROWS } : { waits: true };
    void queue.take({ maxRows: TAKE_ROWS, maxBytes: TAKE_BYTES, ...limits }).then(
      (taken) => {
        this.#taking = false;
        // Asked for before the backlog was declared.
        const isEarlier = liveSinceMs !== this.#liveSinceMs;
        const rows = isEarlier ? taken.map((row) => ({ ...row, isBacklog: row.acceptedAtMs < this.#liveSinceMs })) : taken;
        if (rows.length > 0) this.#mayHaveMore = true;
        // Only an empty answer says that there are no others: the queue may have stopped at rows that it has to pass over.
        if (!isEarlier && (backlogRows ?? 0) > 0 && rows.length === 0) this.#mayHaveBacklog = false;
        shipments.add(holds.admit(testReadings.admit(rows)));
        onRows();
      },
      () => {
        // The queue is closed.
        this.#taking = false;
      },
    );
  }
}
