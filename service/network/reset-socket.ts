/** Ends a connection without waiting for the client. */
import type { Socket } from 'node:net';

/** What Node has for a socket of the system; not part of its API. */
interface Handle {
  close(done: () => void): void;
}

/** Everything was written, and its end is being sent: it takes one turn of the event loop. */
const isShuttingDown = ({ writableEnded, writableFinished, writableLength }: Socket): boolean =>
  writableEnded && !writableFinished && writableLength === 0;

/**
 * Ends a connection with a reset, so that the system drops at once what it holds for the client: of a connection that is closed in order it
 * keeps up to 4 MiB for minutes if the client does not read. Of any connection that we close first, in order, it remembers the ports for a
 * minute (TIME-WAIT): a flood that is refused in order leaves tens of thousands, and every read of the kernel's table contains them all.
 * libuv refuses a reset during the shutdown; then it is reset after it.
 */
export function resetSocket(socket: Socket): void {
  if (socket.destroyed) return;
  if (isShuttingDown(socket)) return void socket.once('finish', () => reset(socket));
  reset(socket);
}

function reset(socket: Socket): void {
  if (socket.destroyed) return;
  const { _handle: handle } = socket as unknown as { _handle?: Handle | null };
  // The shutdown of a TLS connection does not show. Node then leaves the handle open, which keeps the event loop busy for ever.
  socket.once('error', (error: NodeJS.ErrnoException) => {
    if (error.syscall === 'reset') handle?.close(() => socket.emit('close', false));
  });
  socket.resetAndDestroy();
}
