/** Connections cost little until they send something: only then they are handed to what speaks TLS, HTTP or MQTT on them. */
import type { Socket } from 'node:net';

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
    socket.destroy();
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
