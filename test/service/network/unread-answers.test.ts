/** HTTP: what the system holds for clients that do not read their answers is bounded, whether their connections are open or closed. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer, get, type IncomingMessage } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { ConnectionLimits, UNREAD_MAX_BYTES } from '../../../service/network/connection-limits.ts';
import { parseUnreadBytes } from '../../../service/network/unread-bytes.ts';
import { eventually } from '../../support/eventually.ts';

const MIB = 1024 * 1024;
const CLIENTS = 24;
/** More than the system takes for one connection. */
const LARGE_BYTES = 6 * MIB;
/** A part of what it takes. */
const SMALL_BYTES = 2 * MIB;

interface Setup {
  port: number;
  limits: ConnectionLimits;
  /** Connections that were closed for a limit. */
  closedCount: () => number;
  requests: () => number;
}

/** A server whose answers have as many bytes as the path says; a request for `/mine` protects its connection. */
async function startServer(t: TestContext): Promise<Setup> {
  let closed = 0;
  let requests = 0;
  const limits = new ConnectionLimits({
    total: 500,
    perAddress: 500,
    protectedMax: 1,
    onClosed: () => (closed += 1),
    onDelayed: () => undefined,
  });
  const server = createServer((request, response) => {
    requests += 1;
    if (request.url?.startsWith('/mine') === true) limits.protect(request);
    response.on('error', () => {});
    response.end(Buffer.alloc(Number(request.url?.split('/').at(-1))));
  });
  limits.attach(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, limits, closedCount: () => closed, requests: () => requests };
}

/** A client that asks and reads nothing of the answer. */
function frozen(t: TestContext, port: number, path: string, headers = ''): Socket {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  socket.pause();
  socket.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n${headers}\r\n`);
  t.after(() => void socket.destroy());
  return socket;
}

function heldBytes(port: number): number {
  let sum = 0;
  for (const [key, bytes] of parseUnreadBytes(readFileSync('/proc/self/net/tcp', 'latin1')))
    if (key.startsWith(`${port} `)) sum += bytes;
  return sum;
}

for (const [how, end] of [
  ['stay connected', () => undefined],
  ['close their side', (socket: Socket) => void socket.end()],
] as const)
  test(`clients that do not read their answers and ${how} cost 32 MiB of the system at most, and the protected one stays`, async (t) => {
    const { port, closedCount } = await startServer(t);
    const mine = frozen(t, port, `/mine/${LARGE_BYTES}`);
    await eventually(() => heldBytes(port) > MIB, { what: 'the first answer' });
    const others = Array.from({ length: CLIENTS }, () => frozen(t, port, `/${LARGE_BYTES}`));
    await eventually(() => heldBytes(port) > UNREAD_MAX_BYTES || closedCount() > 0, { what: 'the system to hold too much' });
    for (const socket of others) end(socket);
    await eventually(() => closedCount() > 0 && heldBytes(port) <= UNREAD_MAX_BYTES + LARGE_BYTES, {
      withinMs: 5000,
      what: 'the system to hold no more than that',
    });
    assert.ok(closedCount() < CLIENTS, 'the others may stay');
    let received = 0;
    mine.on('data', (chunk: Buffer) => (received += chunk.length));
    mine.resume();
    await eventually(() => received > LARGE_BYTES, { what: 'the whole answer on the protected connection' });
  });

test('what the system holds of connections that are closed counts: nobody should have an answer while it is too much', async (t) => {
  const { port, limits, requests } = await startServer(t);
  const agentless = async (path: string): Promise<IncomingMessage> =>
    await new Promise((resolve, reject) => get({ port, host: '127.0.0.1', path, agent: false }, resolve).on('error', reject));
  const answer = await agentless('/10');
  answer.resume();
  assert.equal(limits.isExhausted, false);
  const sockets = Array.from({ length: CLIENTS }, () => frozen(t, port, `/${SMALL_BYTES}`, 'Connection: close\r\n'));
  await eventually(() => requests() === 1 + CLIENTS && limits.size === 0, { what: 'the server to have closed all connections' });
  assert.ok(heldBytes(port) > UNREAD_MAX_BYTES, `the system holds ${heldBytes(port)} bytes of closed connections`);
  await eventually(() => limits.isExhausted, { withinMs: 5000, what: 'too much' });
  for (const socket of sockets) socket.destroy();
  await eventually(() => !limits.isExhausted, { withinMs: 5000, what: 'enough room again' });
});
