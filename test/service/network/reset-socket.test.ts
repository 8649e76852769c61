import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { resetSocket } from '../../../service/network/reset-socket.ts';
import { eventually } from '../../support/eventually.ts';

/** The server's end of a connection whose client does not read. */
async function unread(t: TestContext): Promise<Socket> {
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
  return socket;
}

for (const [how, close] of [
  ['open', () => undefined],
  ['about to be closed in order', (socket: Socket) => void socket.end('last words')],
] as const)
  test(`a connection that is ${how} is gone at once, and leaves no handle behind`, async (t) => {
    const socket = await unread(t);
    const errors: Error[] = [];
    let isClosed = false;
    socket.on('error', (error) => errors.push(error));
    socket.on('close', () => (isClosed = true));
    close(socket);
    resetSocket(socket);
    await eventually(() => isClosed, { withinMs: 2000, what: errors.join(', ') });
    assert.deepEqual(errors, []);
  });
