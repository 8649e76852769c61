/**
 * Keepalives of 1 s while PUBACKs are held. One test after the other, because the clients are in the broker's process: what delays its
 * event loop delays their pings too.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectAsync } from 'mqtt';
import { eventually } from '../../support/eventually.ts';
import { startGateway } from '../support/gateway.ts';
import { rawClient } from '../support/raw-client.ts';

const USERS = { app: { password: 'pass-word', publish: ['hr/#'] } };
const timed = (index: number): string =>
  JSON.stringify({ timestamp: new Date(1_790_000_000_000 + index).toISOString(), heart_rate: 72 });

test('a connection with a keepalive of 1 s lives while its PUBACKs are held for 8 s, then all 500 arrive', async (t) => {
  const gateway = await startGateway(t, {}, USERS, {}, { storesAtOnce: false });
  const client = await rawClient(t, gateway.ports.mqtt);
  const connecting = client.connect({ username: 'app', password: Buffer.from('pass-word'), keepalive: 1 });
  let pings = 0;
  const pinging = setInterval(() => {
    pings += 1;
    client.send({ cmd: 'pingreq' });
  }, 400);
  t.after(() => clearInterval(pinging));
  assert.equal(await connecting, 0);
  for (let messageId = 1; messageId <= 500; messageId += 1)
    client.publish('hr/Bike1/bpm', timed(messageId), { qos: 1, messageId });
  await eventually(() => gateway.memory.readings.length === 500);
  await sleep(8000);
  clearInterval(pinging);
  const received = (cmd: string): number => client.packets.filter((packet) => packet.cmd === cmd).length;
  await eventually(() => received('pingresp') === pings);
  assert.deepEqual([client.closed, received('puback')], [false, 0]);
  gateway.memory.store();
  await eventually(() => received('puback') === 500);
});

test('a full window is not read, its keepalive stays alive, and reading continues when readings are stored', async (t) => {
  const gateway = await startGateway(t, {}, USERS, {}, { storesAtOnce: false });
  const client = await connectAsync(`mqtt://127.0.0.1:${gateway.ports.mqtt}`, {
    username: 'app',
    password: 'pass-word',
    protocolVersion: 4,
    keepalive: 1,
    reconnectPeriod: 0,
  });
  t.after(() => client.end(true));
  let closed = false;
  client.on('close', () => void (closed = true));
  const published = Array.from({ length: 1700 }, (_, index) => client.publishAsync('hr/Bike1/bpm', timed(index), { qos: 1 }));
  await eventually(() => gateway.memory.readings.length === 500);
  await sleep(4000);
  assert.equal(gateway.memory.readings.length, 500, 'exactly the window');
  assert.equal(closed, false);
  for (let stored = 500; stored < 1700; stored += 100) {
    gateway.memory.store(stored);
    await eventually(() => gateway.memory.readings.length >= Math.min(1700, stored + 500));
    assert.ok(gateway.memory.readings.length <= stored + 500);
  }
  gateway.memory.store();
  await Promise.all(published);
});
