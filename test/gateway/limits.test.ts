import assert from 'node:assert/strict';
import { connect as tcpConnect } from 'node:net';
import { test, type TestContext } from 'node:test';
import { WebSocket } from 'ws';
import { eventually } from '../support/eventually.ts';
import { startProduct } from '../support/product-process.ts';
import { tempDir } from '../support/temp-dir.ts';
import { startGateway, type TestGateway } from './support/gateway.ts';
import { connected, rawClient, type RawClient } from './support/raw-client.ts';
import { residentBytes } from './support/process-memory.ts';

const USERS = { app: { password: 'pass-word', subscribe: ['hr/#', 'app/#'], publish: ['hr/#', 'app/#'] } };
const APP = { username: 'app', password: Buffer.from('pass-word') };
const app = async (t: TestContext, gateway: TestGateway): Promise<RawClient> => await connected(t, gateway.ports.mqtt, APP);
const named = async (gateway: TestGateway, limit: string): Promise<void> =>
  void (await eventually(() => gateway.breached(limit), { what: `${limit} in the log` }));

/** A PUBLISH header that announces this many bytes. */
function header(bytes: number): Buffer {
  const length = [];
  let left = bytes;
  do {
    length.push((left & 0x7f) | (left > 0x7f ? 0x80 : 0));
    left >>>= 7;
  } while (left > 0);
  return Buffer.from([0x30, ...length]);
}

test('a header that announces more than the limit closes the connection before anything of it is buffered', async (t) => {
  const gateway = await startGateway(t, {}, USERS);
  for (const before of ['connect', 'nothing'] as const) {
    const client = before === 'connect' ? await app(t, gateway) : await rawClient(t, gateway.ports.mqtt);
    client.sendBytes(header(268_435_455));
    await client.ended();
  }
  await named(gateway, 'packet_bytes');
  assert.ok(gateway.lines.some((line) => line['limit'] === 'packet_bytes' && Number(line['announced_bytes']) > 1024 * 1024));
  const whole = await app(t, gateway);
  assert.equal(await whole.publishAcknowledged('hr/a/bpm', Buffer.alloc(1024 * 1024 - 100)), true);
  assert.equal(await whole.publishAcknowledged('hr/a/bpm', Buffer.alloc(1024 * 1024 + 1)), false);
});

test('two hundred connections that announce 256 MB and keep sending cost the broker less than 1 MiB each', async (t) => {
  const product = startProduct(t, 'gateway/main', { DATA_DIR: tempDir(t), MQTT_LISTEN_PORT: '0', MQTT_LISTEN_WS_PORT: '0' });
  const { port } = (await product.event('listening')) as { port: number };
  const attack = async (): Promise<void> => {
    await Promise.all(
      Array.from({ length: 200 }, async () => {
        await new Promise<void>((resolve) => {
          const socket = tcpConnect({ port, host: '127.0.0.1' });
          socket.on('error', () => {});
          socket.on('close', () => resolve());
          socket.on('connect', () => {
            socket.write(header(268_435_455));
            socket.write(Buffer.alloc(256 * 1024));
          });
        });
      }),
    );
  };
  await attack();
  const before = residentBytes(product.pid);
  for (let round = 0; round < 3; round += 1) await attack();
  const grown = residentBytes(product.pid) - before;
  assert.ok(grown < 200 * 1024 * 1024, `${grown} bytes`);
  assert.equal(await product.end(), 0);
});

test('a connection that sends no CONNECT in time is closed: over TCP, over WebSocket, before an HTTP upgrade', async (t) => {
  const gateway = await startGateway(t, {}, {}, { connectTimeoutMs: 300 });
  const silent = await rawClient(t, gateway.ports.mqtt);
  const half = await rawClient(t, gateway.ports.mqtt);
  half.sendBytes(Buffer.from([0x10, 20, 0, 4]));
  const socket = new WebSocket(`ws://127.0.0.1:${gateway.ports.ws}`, 'mqtt');
  let webSocketClosed = false;
  socket.on('close', () => void (webSocketClosed = true));
  socket.on('error', () => {});
  const http = tcpConnect({ port: gateway.ports.ws, host: '127.0.0.1' });
  t.after(() => void http.destroy());
  http.on('error', () => {});
  http.write('GET / HTTP/1.1\r\n');
  http.resume();
  await Promise.all([silent.ended(), half.ended(), eventually(() => http.closed), eventually(() => webSocketClosed)]);
  await named(gateway, 'connect_timeout');
  assert.equal(gateway.service.breaches['connect_timeout'], 4);
});

test('connections are bounded in total and per address, and a closed one makes room', async (t) => {
  const few = await startGateway(t, { MQTT_MAX_CONNECTIONS: '10' }, {}, { connectionsShareOfAddress: 1 });
  const clients: RawClient[] = [];
  for (let i = 0; i < 10; i += 1) clients.push(await connected(t, few.ports.mqtt));
  await (await rawClient(t, few.ports.mqtt)).ended();
  // WebSocket connections are counted too, before their upgrade.
  await (await rawClient(t, few.ports.ws)).ended();
  await named(few, 'connections');
  clients[0]?.destroy();
  await eventually(async () => (await (await rawClient(t, few.ports.mqtt)).connect()) === 0);

  const perAddress = await startGateway(t, { MQTT_MAX_CONNECTIONS: '10' }, {}, { connectionsShareOfAddress: 0.3 });
  for (let i = 0; i < 3; i += 1) await connected(t, perAddress.ports.mqtt);
  await (await rawClient(t, perAddress.ports.mqtt)).ended();
  await named(perAddress, 'connections_per_address');
});

test('topics and filters are bounded in length and levels, subscriptions in number', async (t) => {
  const gateway = await startGateway(t, {}, USERS, { topicBytes: 32, topicLevels: 4, subscriptions: 3 });
  const client = await app(t, gateway);
  assert.equal(await client.subscribe(`hr/${'x'.repeat(30)}`), 128);
  await named(gateway, 'topic_bytes');
  assert.equal(await client.publishAcknowledged(`hr/${'x'.repeat(30)}`, ''), false);
  const second = await app(t, gateway);
  assert.equal(await second.publishAcknowledged('hr/1/2/3/4', ''), false);
  await named(gateway, 'topic_levels');
  const third = await app(t, gateway);
  for (const filter of ['hr/1', 'hr/2', 'hr/3']) assert.equal(await third.subscribe(filter), 0);
  assert.equal(await third.subscribe('hr/4'), 128);
  assert.equal(await third.subscribe('hr/1'), 0, 'one that it has already');
  await named(gateway, 'subscriptions');
  third.send({ cmd: 'unsubscribe', messageId: 7, unsubscriptions: ['hr/1'] });
  await third.next('unsuback');
  assert.equal(await third.subscribe('hr/4'), 0);
});

test('retained messages are bounded in number and bytes; an empty one makes room', async (t) => {
  const gateway = await startGateway(t, { MQTT_MAX_RETAINED_BYTES: '64KiB' }, USERS, { retainedTopics: 10 });
  const client = await app(t, gateway);
  for (let i = 0; i < 10; i += 1) assert.equal(await client.publishAcknowledged(`app/${i}`, 'x', true), true);
  assert.equal(await client.publishAcknowledged('app/10', 'x', true), false);
  await named(gateway, 'retained');
  const second = await app(t, gateway);
  assert.equal(await second.publishAcknowledged('app/3', 'other', true), true, 'a known topic');
  assert.equal(await second.publishAcknowledged('app/3', '', true), true);
  assert.equal(await second.publishAcknowledged('app/10', 'x', true), true);
  assert.equal(await second.publishAcknowledged('app/10', Buffer.alloc(65_536), true), false);
  await named(gateway, 'retained_bytes');
  // The same limits hold for retained wills.
  const dying = await connected(t, gateway.ports.mqtt, {
    ...APP,
    will: { topic: 'app/11', payload: Buffer.from('gone'), qos: 0, retain: true },
  });
  dying.destroy();
  await eventually(() => (gateway.service.breaches['retained'] ?? 0) === 2);
  const reader = await app(t, gateway);
  await reader.subscribe('app/11');
  await reader.settled();
  assert.deepEqual(reader.messages(), []);
});

test('a will that is too large, or whose topic is too long, and a client id that is too long, are refused by a CONNACK', async (t) => {
  const gateway = await startGateway(t, {}, USERS, { willBytes: 100 });
  const refused = async (fields: object): Promise<number | undefined> =>
    await (await rawClient(t, gateway.ports.mqtt)).connect({ ...APP, ...fields });
  const will = (bytes: number, topic = 'app/a'): object => ({
    will: { topic, payload: Buffer.alloc(bytes, 'x'), qos: 0, retain: false },
  });
  assert.equal(await refused(will(100)), 0);
  assert.equal(await refused(will(101)), 5);
  await named(gateway, 'will_bytes');
  assert.equal(await refused(will(1, `app/${'x'.repeat(300)}`)), 5);
  assert.equal(await refused({ clientId: 'x'.repeat(129) }), 2);
  await named(gateway, 'client_id_bytes');
});

test('a user that exceeds its publish rate is read more slowly and loses nothing; services are not slowed down', async (t) => {
  const gateway = await startGateway(t, { MQTT_MAX_PUBLISHES_PER_SECOND: '200' }, USERS);
  const reader = await app(t, gateway);
  await reader.subscribe('hr/#');
  const flood = await app(t, gateway);
  const startedAt = performance.now();
  for (let i = 0; i < 600; i += 1) flood.publish('hr/flood/bpm', `${i} ${'x'.repeat(2000)}`);
  await named(gateway, 'publish_rate');
  const heard = (): string[] =>
    reader
      .messages()
      .filter(({ topic }) => topic === 'hr/flood/bpm')
      .map(({ payload }) => payload.split(' ')[0] ?? '');
  await eventually(() => heard().length === 600);
  // 200 at once, then 400 at 200/s; what was read before the first wait passes at once.
  assert.ok(performance.now() - startedAt > 1000, `${performance.now() - startedAt} ms`);
  assert.deepEqual(
    heard(),
    Array.from({ length: 600 }, (_, i) => String(i)),
  );
  const bridge = await connected(t, gateway.ports.mqtt, {
    username: 'ble-bridge',
    password: Buffer.from(gateway.keyOf('ble-bridge')),
  });
  const breaches = gateway.service.breaches['publish_rate'];
  for (let i = 0; i < 1000; i += 1) bridge.publish('hr/strap/bpm', String(i));
  await eventually(() => reader.messages().filter(({ topic }) => topic === 'hr/strap/bpm').length === 1000);
  assert.equal(gateway.service.breaches['publish_rate'], breaches);
});

for (const [limit, environment, limits] of [
  ['slow_subscriber', { MQTT_SLOW_SUBSCRIBER_MS: '500' }, {}],
  ['backlog', { MQTT_SLOW_SUBSCRIBER_MS: '60000' }, { backlogBytes: 200 * 1024 }],
] as const)
  test(`a subscriber that reads nothing is disconnected (${limit}), and the others receive everything in order`, async (t) => {
    const gateway = await startGateway(t, environment, USERS, limits);
    const frozen = await app(t, gateway);
    await frozen.subscribe('hr/#');
    frozen.socket.pause();
    const reader = await app(t, gateway);
    await reader.subscribe('hr/#');
    const bridge = await connected(t, gateway.ports.mqtt, {
      username: 'ble-bridge',
      password: Buffer.from(gateway.keyOf('ble-bridge')),
    });
    // Far more than the kernel's socket buffers hold.
    const count = 400;
    for (let i = 0; i < count; i += 1) {
      bridge.publish('hr/a/bpm', `${i} ${'x'.repeat(50_000)}`);
      // The reader itself must not be slow.
      if (i % 2 === 1) await eventually(() => reader.packets.length > i, { everyMs: 1 });
    }
    await named(gateway, limit);
    await eventually(() => reader.packets.length === count);
    assert.deepEqual(
      reader.messages().map(({ payload }) => Number(payload.split(' ')[0])),
      Array.from({ length: count }, (_, i) => i),
    );
    frozen.socket.resume();
    await frozen.ended();
    assert.equal(gateway.breached(limit), true);
  });

test('exceeded limits are in the metrics and the retained status of the gateway, by name', async (t) => {
  const gateway = await startGateway(t);
  await (await connected(t, gateway.ports.mqtt)).publishAcknowledged('hr/x/bpm', 'x');
  const reader = await connected(t, gateway.ports.mqtt, {
    username: 'admin-api',
    password: Buffer.from(gateway.keyOf('admin-api')),
  });
  await reader.subscribe('edge/+/+/metrics');
  await reader.subscribe('edge/test-box/gateway/status');
  await eventually(() =>
    reader
      .messages()
      .some(
        ({ topic, payload }) =>
          topic.endsWith('/metrics') && /hr_gateway_broker_limit_breaches_total/.test(payload) && /publish_right/.test(payload),
      ),
  );
  await eventually(() =>
    reader
      .messages()
      .some(
        ({ topic, payload }) =>
          topic.endsWith('/status') &&
          (JSON.parse(payload) as { gateway: { breaches: Record<string, number> } }).gateway.breaches['publish_right'] === 1,
      ),
  );
});

test("a user cannot end another user's session by taking its client id, only its own", async (t) => {
  const gateway = await startGateway(t, {}, USERS);
  const client = await connected(t, gateway.ports.mqtt, { ...APP, clientId: 'phone' });
  assert.equal(await (await rawClient(t, gateway.ports.mqtt)).connect({ clientId: 'phone' }), 2);
  await named(gateway, 'client_id_taken');
  await client.settled();
  const again = await connected(t, gateway.ports.mqtt, { ...APP, clientId: 'phone' });
  await client.ended();
  await again.settled();
});
