/**
 * Takes rows from the queue in time, so that the drain always has enough to send, and keeps apart what is new and what is backlog: a full
 * read-ahead of backlog must not keep new readings in the file.
 */
import { RepeatLimiter, type Logger } from '../../service/log/log.ts';
import { READ_AHEAD_ROWS, type DrainQueue, type QueuedReading } from '../queue/drain-queue.ts';
import type { KeyHolds } from './key-holds.ts';
import type { Shipments } from './shipments.ts';

const TAKE_ROWS = 2000;
const TAKE_BYTES = 4 * 1024 * 1024;
/** While there is a backlog, the drain has at most about this many rows that go before it. */
const LIVE_ROWS = 2000;

export interface SupplyOptions {
  log: Logger;
  queue: DrainQueue;
  shipments: Shipments;
  holds: Pick<KeyHolds, 'admit'>;
  /** Whether simulated and replayed readings are shipped. */
  takesTestReadings: boolean;
  /** Rows that the drain has outside of `shipments`. */
  heldElsewhere: () => number;
  /** Rows have come. */
  onRows: () => void;
}

export class Supply {
  readonly #options: SupplyOptions;
  readonly #repeats: RepeatLimiter;
  #taking = false;
  #mayHaveMore = true;
  #mayHaveBacklog = false;
  /** Rows that were accepted before are backlog: the time of the last `goLive`. */
  #liveSinceMs = 0;

  constructor(options: SupplyOptions) {
    this.#options = options;
    this.#repeats = new RepeatLimiter(options.log);
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
    const { queue, shipments, holds, onRows } = this.#options;
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
        shipments.add(holds.admit(this.#withoutTestReadings(rows)));
        onRows();
      },
      () => {
        // The queue is closed.
        this.#taking = false;
      },
    );
  }

  #withoutTestReadings(rows: readonly QueuedReading[]): readonly QueuedReading[] {
    if (this.#options.takesTestReadings) return rows;
    const test = rows.filter(({ source }) => source !== 'real');
    if (test.length === 0) return rows;
    this.#repeats.warn(
      'test',
      { event: 'test_readings_kept', count: test.length },
      'evicting simulated or replayed readings: this target does not get them unless ALLOW_TEST_READINGS is set',
    );
    this.#options.queue.evict(
      test.map(({ id }) => id),
      'test_reading',
    );
    return rows.filter(({ source }) => source === 'real');
  }
}
