/** Connections cost little until they send something: only then they are handed to what speaks TLS, HTTP or MQTT on them. */
import type { Socket } from 'node:net';
import { resetSocket } from './reset-socket.ts';

export interface FirstBytesOptions {
  limitMs: number;
  /** The time is over; the connection is closed after it. */
  onLimit: () => void;
  /** The connection has sent these bytes. They were put back, and it is paused. */
  take: (first: Buffer) => void;
}

/**
 * Waits for the first bytes of a new connection, and closes it if it ends before. The time limit goes on after `take`, until what is
 * returned is called or the connection is closed.
 */
export function whenItSends(socket: Socket, { limitMs, onLimit, take }: FirstBytesOptions): () => void {
  const limit = setTimeout(() => {
    onLimit();
    resetSocket(socket);
  }, limitMs);
  const stop = (): void => clearTimeout(limit);
  const end = (): void => void socket.destroy();
  socket.once('close', stop);
  socket.once('end', end);
  socket.once('data', (chunk: Buffer) => {
    socket.off('end', end);
    socket.pause();
    socket.unshift(chunk);
    take(chunk);
  });
  return stop;
}

/**
 * Tells which connections had the time to be read: what has arrived on one is read in the turn of the event loop after the one in which it
 * was accepted. All connections of a flood may be accepted in one turn, and a client that logs in may be among them: closing the oldest
 * ones at once would close it before its login is read.
 */
export class ReadTurns {
  readonly #onTurn: () => void;
  #turn = 0;
  #lastMark = Number.NEGATIVE_INFINITY;
  #isAdvancing = false;

  /** `onTurn` is called after each of the two turns that follow a mark. */
  constructor(onTurn: () => void) {
    this.#onTurn = onTurn;
  }

  /** A connection is accepted now. */
  mark(): number {
    this.#lastMark = this.#turn;
    if (!this.#isAdvancing) setImmediate(() => this.#advance());
    this.#isAdvancing = true;
    return this.#turn;
  }

  wasRead(mark: number): boolean {
    return this.#turn >= mark + 2;
  }

  #advance(): void {
    this.#turn += 1;
    this.#isAdvancing = !this.wasRead(this.#lastMark);
    if (this.#isAdvancing) setImmediate(() => this.#advance());
    this.#onTurn();
  }
}
