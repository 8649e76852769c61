/**
 * What happens while a subscriber does not read. Aedes makes all deliveries wait for it, up to `drainTimeout`, and then disconnects it: one
 * frozen client stops everybody for seconds, and can come back.
 *
 * - Nobody waits for a client that is no service. What it does not read is kept, within its backlog; if it reads next to nothing for the
 *   time limit, it is disconnected.
 * - Deliveries wait for a service of this box, because that makes a fast publisher wait for it; after the time limit they do not wait
 *   any more, and messages to it are dropped and counted until it reads again. It is never disconnected for that: it may only be busy,
 *   and what must not be lost is sent again by its sequencer. For the bridge of another box nobody waits; else it is treated alike.
 */
import type { Client } from 'aedes';
import type { GuardedConnection } from './guarded-connection.ts';

/** A client that has read less within the time limit is frozen. */
const PROGRESS_BYTES = 32 * 1024;

/** Aedes 1.2 calls this when a write did not fit the buffer of the connection. */
interface Draining {
  waitForDrain(done: (error: Error | null, client: Client) => void): void;
}

export interface SlowSubscriberOptions {
  client: Client;
  conn: GuardedConnection;
  /** Deliveries wait for it: a service of this box. */
  isWaitedFor: boolean;
  limitMs: number;
  /** It did not read for too long: disconnect it. Left out: messages to it are dropped instead. */
  onFrozen: (() => void) | undefined;
}

export class SlowSubscriber {
  readonly #options: SlowSubscriberOptions;
  #pending: (() => void)[] = [];
  #timer: NodeJS.Timeout | undefined;
  #isStuck = false;
  #sentBytes = 0;

  constructor(options: SlowSubscriberOptions) {
    this.#options = options;
    const { client, conn } = options;
    (client as unknown as Draining).waitForDrain = (done) => this.#waitForDrain(() => done(null, client));
    conn.on('drain', () => this.#drained());
    conn.once('close', () => this.#drained());
  }

  /** It does not read, and is not disconnected for it: messages to it are dropped. */
  get isStuck(): boolean {
    return this.#isStuck && this.#options.conn.writableNeedDrain;
  }

  #waitForDrain(done: () => void): void {
    const { isWaitedFor, conn } = this.#options;
    if (conn.destroyed || !isWaitedFor || this.isStuck) setImmediate(done);
    else this.#pending.push(done);
    if (this.#timer === undefined) this.#watch();
  }

  #watch(): void {
    const { conn, limitMs } = this.#options;
    this.#sentBytes = conn.sentBytes;
    this.#timer = setTimeout(() => this.#expired(), limitMs).unref();
  }

  #expired(): void {
    this.#timer = undefined;
    const { conn, onFrozen } = this.#options;
    if (conn.destroyed || !conn.writableNeedDrain) return this.#drained();
    if (conn.sentBytes - this.#sentBytes >= PROGRESS_BYTES) return this.#watch();
    if (onFrozen !== undefined) return onFrozen();
    this.#isStuck = true;
    this.#release();
  }

  #drained(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#isStuck = false;
    this.#release();
  }

  #release(): void {
    const pending = this.#pending;
    this.#pending = [];
    for (const done of pending) setImmediate(done);
  }
}
