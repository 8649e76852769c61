import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { resetSocket } from '../../../service/network/reset-socket.ts';
import { connectionKey, readUnreadBytes } from '../../../service/network/unread-bytes.ts';
import { eventually } from '../../support/eventually.ts';

/** Both ends of a connection whose client does not read. */
async function unread(t: TestContext): Promise<{ socket: Socket; client: Socket }> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  client.on('error', () => {});
  client.pause();
  const [socket] = (await once(server, 'connection')) as [Socket];
  t.after(() => {
    client.destroy();
    socket.destroy();
    server.close();
  });
  return { socket, client };
}

for (const [how, close] of [
  ['open', () => undefined],
  ['about to be closed in order', (socket: Socket) => void socket.end('last words')],
] as const)
  test(`a connection that is ${how} is gone at once, and leaves no handle behind`, async (t) => {
    const { socket } = await unread(t);
    const errors: Error[] = [];
    let isClosed = false;
    socket.on('error', (error) => errors.push(error));
    socket.on('close', () => (isClosed = true));
    close(socket);
    resetSocket(socket);
    await eventually(() => isClosed, { withinMs: 2000, what: errors.join(', ') });
    assert.deepEqual(errors, []);
  });

for (const [how, close] of [
  ['open', () => undefined],
  ['to be closed once everything was read', ({ socket }: { socket: Socket }) => void socket.end()],
  ['closed by its client on one side', ({ client }: { client: Socket }) => void client.end()],
] as const)
  test(`what the system holds for a connection that is ${how} is dropped at once`, async (t) => {
    const ends = await unread(t);
    const { socket } = ends;
    socket.on('error', () => {});
    socket.write(Buffer.alloc(16 * 1024 * 1024));
    const key = connectionKey(socket);
    const heldBytes = async (): Promise<number> => (await readUnreadBytes()).get(key) ?? 0;
    await eventually(async () => (await heldBytes()) > 100_000, { what: 'the system to hold some of it' });
    close(ends);
    await setTimeout(200);
    resetSocket(socket);
    await eventually(async () => (await heldBytes()) === 0, { withinMs: 2000, what: 'nothing to be held any more' });
  });
