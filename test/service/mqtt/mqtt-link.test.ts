import assert from 'node:assert/strict';
import { mkdirSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { Aedes } from 'aedes';
import { writeToStream } from 'mqtt-packet';
import { GatewayService } from '../../../gateway/service.ts';
import { MqttLink, type MqttLinkOptions } from '../../../service/mqtt/mqtt-link.ts';
import { topicMatches } from '../../../service/mqtt/subscription-routes.ts';
import { eventually } from '../../support/eventually.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { testConfig, testLog } from '../../support/test-config.ts';

interface Broker {
  aedes: Aedes;
  port: number;
  cut(): void;
  /** Ends each connection with an RST. */
  reset(): void;
  stop(): Promise<void>;
}

async function startBroker(t: TestContext, port = 0): Promise<Broker> {
  const aedes = await Aedes.createBroker();
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    aedes.handle(socket);
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const cut = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  const reset = (): void => {
    for (const socket of sockets) socket.resetAndDestroy();
  };
  const stop = async (): Promise<void> => {
    cut();
    await new Promise<void>((resolve) => server.close(() => resolve()));
    await new Promise<void>((resolve) => aedes.close(() => resolve()));
  };
  t.after(async () => {
    if (server.listening) await stop();
  });
  return { aedes, port: (server.address() as AddressInfo).port, cut, reset, stop };
}

function linkTo(t: TestContext, port: number, subscriptions: MqttLinkOptions['subscriptions']): MqttLink {
  const config = testConfig({ DATA_DIR: tempDir(t), MQTT_URL: `mqtt://127.0.0.1:${port}` });
  const link = new MqttLink({
    service: 'forwarder',
    config,
    log: testLog(config),
    subscriptions,
    will: () => ({ topic: 'edge/test-box/forwarder/status', payload: 'offline', retain: true }),
  });
  t.after(() => link.stop());
  return link;
}

test('up after every SUBACK; while down, a publish is refused; nothing of an ended session is sent again', async (t) => {
  const broker = await startBroker(t);
  const received: string[] = [];
  const link = linkTo(t, broker.port, { 'a/+': (topic, payload) => void received.push(`${topic} ${payload.toString()}`) });
  assert.equal(link.publish('a/1', 'early'), false);
  link.start();
  await eventually(() => link.connected);
  assert.equal(link.publish('a/1', 'first'), true);
  await eventually(() => received.length === 1);
  broker.cut();
  await eventually(() => !link.connected);
  assert.equal(link.publish('a/1', 'late'), false);
  await eventually(() => link.connected);
  assert.equal(link.publish('a/1', 'second'), true);
  await eventually(() => received.includes('a/1 second'));
  assert.deepEqual(received, ['a/1 first', 'a/1 second']);
});

test('reconnects after a broker restart on the same address, and subscribes again', async (t) => {
  const first = await startBroker(t);
  const received: string[] = [];
  const link = linkTo(t, first.port, { 'hr/+/bpm': (_topic, payload) => void received.push(payload.toString()) });
  link.start();
  await eventually(() => link.connected);
  await first.stop();
  await eventually(() => !link.connected);
  const second = await startBroker(t, first.port);
  await eventually(() => link.connected);
  second.aedes.publish(
    { cmd: 'publish', qos: 0, dup: false, retain: false, topic: 'hr/x/bpm', payload: Buffer.from('again') },
    () => {},
  );
  await eventually(() => received.length === 1);
});

test('stop sends everything published and publishes no will; after an unclean end the broker publishes it', async (t) => {
  const broker = await startBroker(t);
  const seen: string[] = [];
  broker.aedes.on(
    'publish',
    (packet) => void (packet.topic.startsWith('$') || seen.push(`${packet.topic} ${packet.payload.toString()}`)),
  );
  const link = linkTo(t, broker.port, {});
  link.start();
  await eventually(() => link.connected);
  for (let i = 0; i < 500; i += 1) link.publish('a/b', String(i));
  await link.stop();
  await eventually(() => seen.length >= 500);
  assert.ok(!seen.some((line) => line.includes('offline')));
  const crashing = linkTo(t, broker.port, {});
  crashing.start();
  await eventually(() => crashing.connected);
  crashing.abandon();
  await eventually(() => seen.some((line) => line.endsWith('offline')));
});

test('a handler or listener that throws is logged and stops nothing', async (t) => {
  const broker = await startBroker(t);
  let calls = 0;
  const link = linkTo(t, broker.port, {
    'a/b': () => {
      calls += 1;
      throw new Error('bad handler');
    },
  });
  link.on('up', () => {
    throw new Error('bad listener');
  });
  link.start();
  await eventually(() => link.connected);
  link.publish('a/b', '1');
  link.publish('a/b', '2');
  await eventually(() => calls === 2);
});

test('a refused subscription is reported, and works once the right is granted; the others work meanwhile', async (t) => {
  const broker = await startBroker(t);
  const refused = { 'secret/#': true };
  broker.aedes.authorizeSubscribe = (_client, subscription, callback) =>
    callback(
      null,
      subscription.topic === 'secret/#' && refused['secret/#'] ? (null as unknown as typeof subscription) : subscription,
    );
  const received: string[] = [];
  const handler = (topic: string): void => void received.push(topic);
  const link = linkTo(t, broker.port, { 'secret/#': handler, 'open/#': handler });
  let ups = 0;
  link.on('up', () => void (ups += 1));
  link.start();
  await eventually(() => link.trouble?.code === 'subscription_refused');
  assert.equal(link.check().code, 'subscription_refused');
  assert.equal(link.check().reason, 'the broker refuses secret/#');
  assert.equal(link.publish('open/1', ''), true);
  await eventually(() => received.includes('open/1'));
  refused['secret/#'] = false;
  await eventually(() => ups === 2 && link.trouble === undefined, { withinMs: 15_000 });
  link.publish('secret/1', '');
  await eventually(() => received.includes('secret/1'));
});

test('a broker that resets each accepted connection is named by what it does, not called unreachable', async (t) => {
  const broker = await startBroker(t);
  const link = linkTo(t, broker.port, { 'a/+': () => {} });
  link.on('up', () => broker.reset());
  link.start();
  await eventually(() => link.trouble?.code === 'client_id_conflict');
});

test('no SUBSCRIBE has more than 8 filters, and all are subscribed before the link is up', async (t) => {
  const broker = await startBroker(t);
  const sizes: number[] = [];
  broker.aedes.on('subscribe', (subscriptions) => void sizes.push(subscriptions.length));
  const filters = Array.from({ length: 19 }, (_, index) => `topic/${index}`);
  const link = linkTo(t, broker.port, Object.fromEntries(filters.map((filter) => [filter, () => {}])));
  link.start();
  await eventually(() => link.connected);
  assert.deepEqual(sizes, [8, 8, 3]);
});

test('stop while nobody listens ends at once', async (t) => {
  const nowhere = linkTo(t, 1, {});
  await nowhere.stop();
  nowhere.start();
  await nowhere.stop();
});

test('topics match filters as defined by MQTT 3.1.1 section 4.7', () => {
  for (const [filter, topic] of [
    ['hr/+/bpm', 'hr/a/bpm'],
    ['hr/#', 'hr'],
    ['hr/#', 'hr/a/b'],
    ['+/+', '/finance'],
    ['#', 'a/b'],
  ] as const)
    assert.ok(topicMatches(filter, topic), `${filter} ${topic}`);
  for (const [filter, topic] of [
    ['hr/+/bpm', 'hr/a/b/bpm'],
    ['hr/+', 'hr'],
    ['+', '/finance'],
    ['#', '$SYS/x'],
    ['hr/a', 'hr/a/b'],
  ] as const)
    assert.ok(!topicMatches(filter, topic), `${filter} ${topic}`);
});

test('a process with a connection or a broker keeps no Buffer for each of 65,536 numbers', async (t) => {
  const broker = await startBroker(t);
  writeToStream.cacheNumbers = true;
  const link = linkTo(t, broker.port, {});
  link.start();
  await eventually(() => link.connected);
  assert.equal(writeToStream.cacheNumbers, false);
  writeToStream.cacheNumbers = true;
  const config = testConfig({ DATA_DIR: tempDir(t) });
  const gateway = new GatewayService({ config, log: testLog(config) });
  t.after(() => gateway.stop());
  await gateway.start();
  assert.equal(writeToStream.cacheNumbers, false);
});

test('the function that returns the subscriptions is called at each connection', async (t) => {
  const broker = await startBroker(t);
  const received: string[] = [];
  let filter = 'a/1';
  const link = linkTo(t, broker.port, () => ({ [filter]: (topic) => void received.push(topic) }));
  link.start();
  await eventually(() => link.connected);
  filter = 'a/2';
  broker.cut();
  await eventually(() => !link.connected);
  await eventually(() => link.connected);
  for (const topic of ['a/1', 'a/2']) link.publish(topic, '');
  await eventually(() => received.length > 0);
  assert.deepEqual(received, ['a/2']);
});

test('a disk that does not return the key any more does not end the service: the link comes back with the key of before', async (t) => {
  const broker = await startBroker(t);
  const config = testConfig({ DATA_DIR: tempDir(t), MQTT_URL: `mqtt://127.0.0.1:${broker.port}` });
  const passwords: string[] = [];
  broker.aedes.authenticate = (_, __, password, done) => {
    passwords.push(String(password));
    done(null, true);
  };
  const link = new MqttLink({ service: 'forwarder', config, log: testLog(config), subscriptions: {} });
  t.after(() => link.stop());
  link.start();
  await eventually(() => link.connected);
  const key = path.join(config.DATA_DIR, 'keys', 'forwarder');
  rmSync(key);
  // Reading a folder fails, as a broken disk does.
  mkdirSync(key);
  broker.cut();
  await eventually(() => passwords.length > 1 && link.connected);
  assert.equal(passwords.at(-1), passwords[0]);
});
