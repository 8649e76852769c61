/** The listener for the services of this box, and what the services are spared on every listener. */
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { breachText } from '../../gateway/breach-kinds.ts';
import { eventually } from '../support/eventually.ts';
import { startGateway, type TestGateway } from './support/gateway.ts';
import { connected, rawClient, type ConnectFields } from './support/raw-client.ts';

const PASSWORD = Buffer.from('pass-word');
const USERS = {
  app: { password: 'pass-word', subscribe: ['hr/#', 'app/#'], publish: ['hr/#', 'app/#'] },
  'gym-2': { password: 'pass-word', bridge: 'gym-2' },
};
const as = (gateway: TestGateway, service: 'ble-bridge' | 'forwarder' | 'admin-api'): ConnectFields => ({
  username: service,
  password: Buffer.from(gateway.keyOf(service)),
});

test('the listener for services accepts service keys, and nobody else', async (t) => {
  const gateway = await startGateway(t, {}, USERS);
  const { services, mqtt } = gateway.ports;
  assert.notEqual(services, mqtt);
  for (const service of ['ble-bridge', 'forwarder', 'admin-api'] as const) {
    await connected(t, services, as(gateway, service));
    // As in earlier releases.
    await connected(t, mqtt, as(gateway, service));
  }
  for (const fields of [
    {},
    { username: 'app', password: PASSWORD },
    { username: 'gym-2', password: PASSWORD },
    { username: 'forwarder', password: PASSWORD },
  ])
    assert.equal(await (await rawClient(t, services)).connect(fields), 5, JSON.stringify(fields));
  // The bridge of another box connects to the ordinary listener.
  await connected(t, mqtt, { username: 'gym-2', password: PASSWORD });
});

test('a service connects while others hold every connection of both listeners', async (t) => {
  const gateway = await startGateway(t, { MQTT_MAX_CONNECTIONS: '20' }, USERS, { connectionsShareOfAddress: 1 });
  const silent = await Promise.all(Array.from({ length: 600 }, async () => await rawClient(t, gateway.ports.services)));
  await Promise.all(Array.from({ length: 20 }, async () => await rawClient(t, gateway.ports.mqtt)));
  const beganAt = performance.now();
  const bridge = await connected(t, gateway.ports.services, as(gateway, 'ble-bridge'));
  assert.ok(performance.now() - beganAt < 1000, `connected after ${performance.now() - beganAt} ms`);
  assert.ok(silent.filter(({ closed }) => closed).length >= 300, 'the oldest silent connections made room');
  await sleep(2500);
  assert.ok(
    silent.every(({ closed }) => closed),
    'none stays for longer than 2 s',
  );
  await bridge.settled();
});

test('on the port for services 1884 another program is no reason to fail the start: another one is used, and a WARN says so', async (t) => {
  const other = createServer().listen(1884, '127.0.0.1');
  const isOurs = await new Promise<boolean>((resolve) => {
    other.once('listening', () => resolve(true));
    // Something else has it already: just as well.
    other.once('error', () => resolve(false));
  });
  t.after(() => void other.close());
  const gateway = await startGateway(t, { MQTT_SERVICES_PORT: '1884', MQTT_LISTEN_PORT: '18831' }, USERS);
  assert.ok(gateway.ports.services > 0 && gateway.ports.services !== 1884, `${gateway.ports.services}, ${isOurs}`);
  assert.ok(
    gateway.lines.some(({ event }) => event === 'services_port_in_use'),
    'it is in the log',
  );
  await connected(t, gateway.ports.services, as(gateway, 'forwarder'));
});

test('a message of a service that breaks a limit by size or count is dropped and counted; its connection stays', async (t) => {
  const gateway = await startGateway(t, { MQTT_MAX_PACKET_BYTES: '64KiB', MQTT_MAX_RETAINED_BYTES: '64KiB' }, USERS, {
    retainedTopicsOfServices: 3,
  });
  const bridge = await connected(t, gateway.ports.services, as(gateway, 'ble-bridge'));
  const reader = await connected(t, gateway.ports.services, as(gateway, 'admin-api'));
  await reader.subscribe('hr/#');
  bridge.publish('hr/a/bpm', 'first');
  bridge.publish('hr/a/bpm', Buffer.alloc(300_000, 'x'));
  bridge.publish('hr/a/bpm', 'second');
  bridge.publish(`hr/${'x'.repeat(300)}/bpm`, 'too long a topic');
  for (let index = 0; index < 6; index += 1) bridge.publish(`hr/${index}/status`, 'kept', { retain: true });
  bridge.publish('hr/a/bpm', 'third');
  await bridge.settled();
  await eventually(() => reader.messages().some(({ payload }) => payload === 'third'));
  const received = reader.messages().filter(({ topic }) => topic === 'hr/a/bpm');
  assert.deepEqual(
    received.map(({ payload }) => payload),
    ['first', 'second', 'third'],
  );
  for (const limit of ['packet_bytes', 'topic_bytes', 'retained']) assert.ok(gateway.breached(limit), limit);
  assert.equal(bridge.closed, false);
  const late = await connected(t, gateway.ports.services, as(gateway, 'admin-api'));
  await late.subscribe('hr/+/status');
  await eventually(() => late.messages().length === 3);
});

test('a user that fills the retained messages does not touch those of the services', async (t) => {
  const gateway = await startGateway(t, { MQTT_MAX_RETAINED_BYTES: '64KiB' }, USERS, { retainedTopics: 10 });
  const bridge = await connected(t, gateway.ports.mqtt, as(gateway, 'ble-bridge'));
  for (let round = 0; round < 3; round += 1) {
    const hog = await connected(t, gateway.ports.mqtt, { username: 'app', password: PASSWORD });
    for (let index = 0; index < 12; index += 1) hog.publish(`app/${index}`, 'x'.repeat(5000), { retain: true });
    await hog.ended();
  }
  for (let index = 0; index < 20; index += 1) bridge.publish(`hr/${index}/status`, 'online', { retain: true });
  await bridge.settled();
  const reader = await connected(t, gateway.ports.mqtt, { username: 'app', password: PASSWORD });
  await reader.subscribe('hr/+/status');
  await eventually(() => reader.messages().length === 20);
  assert.equal(bridge.closed, false);
});

test('a service that does not read for a while stays connected, and receives again when it reads; nobody waits for it', async (t) => {
  const gateway = await startGateway(t, { MQTT_SLOW_SUBSCRIBER_MS: '300' }, USERS);
  const slow = await connected(t, gateway.ports.services, as(gateway, 'admin-api'));
  await slow.subscribe('hr/#');
  const reader = await connected(t, gateway.ports.mqtt, { username: 'app', password: PASSWORD });
  await reader.subscribe('hr/#');
  const bridge = await connected(t, gateway.ports.services, as(gateway, 'ble-bridge'));
  slow.socket.pause();
  const count = 400;
  for (let index = 0; index < count; index += 1) {
    bridge.publish('hr/a/bpm', `${index} ${'x'.repeat(50_000)}`);
    if (index % 2 === 1) await eventually(() => reader.packets.length > index, { everyMs: 1 });
  }
  assert.ok((gateway.service.breaches['service_backlog'] ?? 0) > 0, 'what it did not read was dropped and counted');
  const { msg, service } = gateway.lines.find(({ limit }) => limit === 'service_backlog') ?? {};
  assert.equal(service, 'admin-api');
  assert.equal(msg, `service admin-api ${breachText('service_backlog')}`);
  const budgets = gateway.service.checks.find(({ name }) => name === 'client budgets');
  assert.equal(budgets?.status, 'ok', 'nobody is blamed for it');
  assert.equal(slow.closed, false);
  slow.socket.resume();
  await eventually(() => {
    bridge.publish('hr/a/bpm', 'again');
    return slow.messages().some(({ payload }) => payload === 'again');
  });
  assert.equal(gateway.service.breaches['slow_subscriber'], undefined);
});

test('connections that say nothing are bounded on each port, the oldest make room, and a client that logs in is accepted', async (t) => {
  const gateway = await startGateway(t, {}, USERS, { halfOpen: 5 });
  const { mqtt, ws } = gateway.ports;
  for (const port of [mqtt, ws]) {
    const silent = await Promise.all(Array.from({ length: 60 }, async () => await rawClient(t, port)));
    await eventually(() => silent.filter(({ closed }) => closed).length >= 30, { withinMs: 4000, what: 'most are closed' });
  }
  const client = await connected(t, mqtt, { username: 'app', password: PASSWORD });
  await Promise.all(Array.from({ length: 60 }, async () => await rawClient(t, mqtt)));
  await client.settled();
  assert.ok(gateway.breached('half_open'), 'it is counted');
});

test('new connections are bounded in their rate, by address', async (t) => {
  const gateway = await startGateway(t, {}, USERS, { connectsPerSecond: 5, connectBurst: 4 });
  const clients = await Promise.all(Array.from({ length: 60 }, async () => await rawClient(t, gateway.ports.mqtt)));
  await eventually(() => clients.filter(({ closed }) => closed).length >= 20, { withinMs: 4000, what: 'the others are closed' });
  assert.ok(gateway.breached('connect_rate'), 'it is counted');
  await connected(t, gateway.ports.services, as(gateway, 'ble-bridge'));
});
