/**
 * What an attack is. The code of an attack runs in a process of its own, which is stopped half of the time (as a CPU quota of 50 % would)
 * and killed at the end. To add one, add an entry to one of the lists in attacks.ts; a new kind of target goes into `Target`.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** What an attacker reaches, and what it has: users of the box with the password, and the key of another box's bridge. */
export interface Target {
  mqtt: number;
  mqtts: number;
  ws: number;
  wss: number;
  services: number;
  admin: number;
  stream: number;
  /** The control port of the virtual radio: what is in the air. */
  air: number;
  password: string;
}

/** A health check, and the words with which it names the attacker. */
export interface Blame {
  /** The end of its name: that of a service's check has the service in front. */
  check: string;
  reason: RegExp;
}

export interface Attack {
  /** What the attacker does, as a sentence without a subject. */
  name: string;
  /** The checks that must name it; none: nobody exceeds anything for long. */
  named: readonly Blame[];
  run: (target: Target) => Promise<void>;
  /** Called in the test's process after the attacker was killed, for what outlives it. */
  end?: (target: Target) => Promise<void>;
}

/** A TCP connection that sends `data` and reads on; nothing is reported. */
export function open(port: number, data?: Buffer | string): Socket {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  socket.on('error', () => {});
  socket.resume();
  if (data !== undefined) socket.write(data);
  return socket;
}

/** Writes as fast as TCP takes it, and connects again when it is disconnected. */
export async function pour(port: number, first: () => Buffer, next: (index: number) => Buffer): Promise<void> {
  for (let index = 0; ;) {
    const socket = open(port, first());
    while (!socket.destroyed) {
      const isRoom = socket.write(next(index));
      index += 1;
      if (!isRoom) await once(socket, 'drain', { signal: AbortSignal.timeout(1000) }).catch(() => undefined);
      else if (index % 20 === 0) await sleep(0);
    }
    await sleep(20);
  }
}

export async function each(count: number, run: (index: number) => Promise<void>): Promise<void> {
  await Promise.all(Array.from({ length: count }, async (_, index) => await run(index)));
}

export interface KeepOpenOptions {
  /** After the first bytes that it receives, a connection reads nothing more. */
  isFrozen?: boolean;
  /** What each connection sends every `everyMs`. */
  drip?: { everyMs: number; data: string };
}

/** Keeps so many connections open, and opens others for those that are closed. */
export async function keepOpen(
  port: number,
  count: number,
  first: () => Buffer | string | undefined,
  { isFrozen = false, drip }: KeepOpenOptions = {},
): Promise<void> {
  const sockets = new Set<Socket>();
  if (drip !== undefined)
    setInterval(() => {
      for (const socket of sockets) socket.write(drip.data);
    }, drip.everyMs);
  for (;;) {
    for (let missing = Math.min(50, count - sockets.size); missing > 0; missing -= 1) {
      const socket = open(port, first());
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
      if (isFrozen) socket.once('data', () => socket.pause());
    }
    await sleep(20);
  }
}

/** Sends a request on a new connection, without a pause after its end. */
export async function ask(port: number, request: () => string, withinMs = 2000): Promise<void> {
  for (;;) {
    const socket = open(port, request());
    await once(socket, 'close', { signal: AbortSignal.timeout(withinMs) }).catch(() => undefined);
    socket.destroy();
  }
}
