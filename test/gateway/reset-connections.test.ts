/** Clients that reset their connections before the gateway has accepted them: it sees sockets without an address. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import { startProduct } from '../support/product-process.ts';
import { freePort } from '../support/free-port.ts';
import { tempDir } from '../support/temp-dir.ts';
import { rawClient } from './support/raw-client.ts';

/** More than a listener lets be half-open, also while all of them are new. */
const RESETS = 700;

async function connectAndReset(port: number): Promise<void> {
  const socket = connect({ port, host: '127.0.0.1' });
  socket.on('error', () => {});
  await once(socket, 'connect');
  socket.resetAndDestroy();
}

test('connections that were reset before they were accepted take no place of later ones, on no listener', async (t) => {
  const folder = tempDir(t);
  const [services, ws] = [await freePort(), await freePort()];
  const gateway = startProduct(t, 'gateway/main', {
    DATA_DIR: folder,
    MQTT_LISTEN_PORT: '0',
    MQTT_LISTEN_WS_PORT: String(ws),
    MQTT_SERVICES_PORT: String(services),
  });
  const { port } = (await gateway.event('listening')) as { port: number };
  for (const target of [port, ws, services]) {
    // The system accepts connections for a stopped process.
    gateway.child.kill('SIGSTOP');
    for (let count = 0; count < RESETS; count += 50)
      await Promise.all(Array.from({ length: 50 }, async () => await connectAndReset(target)));
    gateway.child.kill('SIGCONT');
  }
  const key = readFileSync(path.join(folder, 'keys', 'forwarder'), 'utf8').trim();
  for (let attempt = 0; attempt < 5; attempt += 1) {
    const stranger = await rawClient(t, port);
    // Half-open for longer than a new connection may be in any case, when others come.
    await new Promise((resolve) => setTimeout(resolve, 700));
    const other = await rawClient(t, port);
    assert.equal(await stranger.connect(), 0, 'a client that takes its time');
    assert.equal(await other.connect(), 0, 'and the next one');
    const service = await rawClient(t, services);
    const silent = await rawClient(t, services);
    assert.equal(await service.connect({ username: 'forwarder', password: Buffer.from(key) }), 0, 'a service');
    silent.destroy();
  }
  const page = connect({ port: ws, host: '127.0.0.1' });
  t.after(() => page.destroy());
  await new Promise((resolve) => setTimeout(resolve, 700));
  const another = connect({ port: ws, host: '127.0.0.1' });
  t.after(() => another.destroy());
  page.write('GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n');
  const [answer] = (await once(page, 'data')) as [Buffer];
  assert.match(answer.toString(), /^HTTP\/1\.1 426 /);
});
