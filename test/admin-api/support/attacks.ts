/** Clients that do not behave: sockets that send little or nothing, and what becomes of them. */
import { connect, type Socket } from 'node:net';
import type { TestContext } from 'node:test';

export interface Attacker {
  socket: Socket;
  /** When the server closed the connection, in milliseconds after it was opened; undefined while it is open. */
  closedAfterMs: () => number | undefined;
  received: () => string;
}

/** Opens a connection, sends `text`, and then every `everyMs` the next of `drops`, if given. */
export function attack(
  t: Pick<TestContext, 'after'>,
  port: number,
  text: string,
  drip?: { everyMs: number; text: string },
): Attacker {
  const openedMs = performance.now();
  let closedAfterMs: number | undefined;
  let received = '';
  const socket = connect(port, '127.0.0.1', () => socket.write(text));
  const timer = drip === undefined ? undefined : setInterval(() => socket.write(drip.text), drip.everyMs);
  socket.on('data', (chunk) => (received += chunk.toString('latin1')));
  socket.on('error', () => {});
  socket.on('close', () => {
    closedAfterMs ??= performance.now() - openedMs;
    clearInterval(timer);
  });
  t.after(() => {
    clearInterval(timer);
    socket.destroy();
  });
  return { socket, closedAfterMs: () => closedAfterMs, received: () => received };
}

export const openOf = (attackers: readonly Attacker[]): number =>
  attackers.filter(({ closedAfterMs }) => closedAfterMs() === undefined).length;
