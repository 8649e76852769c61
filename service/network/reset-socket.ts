/** Ends a connection without waiting for the client. */
import type { Socket } from 'node:net';

/**
 * Ends a connection at once. It is reset, so that the system drops what it holds for the client, unless it is being closed in order: libuv
 * refuses a reset during the shutdown, and Node would then leave a handle behind that keeps the event loop busy for ever.
 */
export function resetSocket(socket: Socket): void {
  if (socket.writableEnded && !socket.writableFinished) socket.destroy();
  else socket.resetAndDestroy();
}
