/** When the broker closes a connection for its keepalive. In a test process of its own: it blocks the event loop. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startGateway } from './support/gateway.ts';
import { connected, type RawClient } from './support/raw-client.ts';

const USERS = { app: { password: 'pass-word', publish: ['x/#'] } };
const clientWithKeepalive = async (t: TestContext, seconds: number, environment = {}): Promise<RawClient> => {
  const gateway = await startGateway(t, environment, USERS);
  return await connected(t, gateway.ports.mqtt, {
    username: 'app',
    password: Buffer.from('pass-word'),
    keepalive: seconds,
  });
};

function blockEventLoop(forMs: number): void {
  const endMs = performance.now() + forMs;
  while (performance.now() < endMs);
}

test('a PINGREQ that arrived while the event loop was blocked keeps its connection; silence after it does not', async (t) => {
  const client = await clientWithKeepalive(t, 1);
  client.send({ cmd: 'pingreq' });
  blockEventLoop(2500);
  await client.next('pingresp');
  await sleep(1000);
  assert.equal(client.closed, false);
  await client.ended();
});

test('a client that is not read because of its publish rate keeps its connection', async (t) => {
  const client = await clientWithKeepalive(t, 1, { MQTT_MAX_PUBLISHES_PER_SECOND: '10' });
  for (let index = 0; index < 60; index += 1) client.publish('x/y', 'z');
  await sleep(200);
  client.send({ cmd: 'pingreq' });
  await client.next('pingresp');
  assert.equal(client.closed, false);
});
