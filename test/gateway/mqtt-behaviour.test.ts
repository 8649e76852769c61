/**
 * MQTT 3.1.1 as clients see it: covers what the Eclipse Paho interoperability suite (client_test.py) covers, with two intended
 * differences: sessions are always clean, and a publish without the right closes the connection. docs/mqtt.md describes how to run the
 * suite itself.
 */
import assert from 'node:assert/strict';
import { describe, test, type TestContext } from 'node:test';
import { connectAsync } from 'mqtt';
import { eventually } from '../support/eventually.ts';
import { startGateway, type TestGateway } from './support/gateway.ts';
import { connected, rawClient, type ConnectFields, type RawClient } from './support/raw-client.ts';

const USER = { username: 'paho', password: Buffer.from('pass-word') };
const FILTERS = ['TopicA/#', 'TopicB/#', 'TopicC/#', '/TopicA/#'];
/** A leading slash makes an empty first level, which is a valid name. */
const started = async (t: TestContext, environment: Record<string, string> = {}): Promise<TestGateway> =>
  await startGateway(t, environment, { paho: { password: 'pass-word', subscribe: FILTERS, publish: FILTERS } });
const client = async (t: TestContext, gateway: TestGateway, fields: ConnectFields = {}): Promise<RawClient> =>
  await connected(t, gateway.ports.mqtt, { ...USER, ...fields });

describe('MQTT 3.1.1', { concurrency: true }, () => {
  test('basic: a message of each QoS arrives once at each subscription QoS, at the lower of the two, with its handshake', async (t) => {
    const gateway = await started(t);
    const publisher = await client(t, gateway);
    for (const subscribed of [0, 1, 2] as const) {
      const subscriber = await client(t, gateway);
      assert.equal(await subscriber.subscribe('TopicA/B', subscribed), subscribed);
      for (const published of [0, 1, 2] as const) {
        const messageId = 10 + published;
        publisher.publish('TopicA/B', `at ${published}`, { qos: published, messageId });
        if (published === 1) assert.equal((await publisher.next('puback')).messageId, messageId);
        if (published === 2) {
          assert.equal((await publisher.next('pubrec')).messageId, messageId);
          publisher.send({ cmd: 'pubrel', messageId });
          assert.equal((await publisher.next('pubcomp')).messageId, messageId);
        }
        const message = await subscriber.next('publish');
        assert.equal(message.payload.toString(), `at ${published}`);
        assert.equal(message.qos, Math.min(published, subscribed));
        assert.equal(message.dup, false);
        const id = message.messageId ?? 0;
        if (message.qos === 1) subscriber.send({ cmd: 'puback', messageId: id });
        if (message.qos === 2) {
          subscriber.send({ cmd: 'pubrec', messageId: id });
          assert.equal((await subscriber.next('pubrel')).messageId, id);
          subscriber.send({ cmd: 'pubcomp', messageId: id });
        }
      }
      await subscriber.settled();
      assert.deepEqual(subscriber.messages(), []);
      subscriber.destroy();
    }
  });

  test('the first packet must be CONNECT, and there is one CONNECT per connection', async (t) => {
    const gateway = await started(t);
    const early = await rawClient(t, gateway.ports.mqtt);
    early.send({ cmd: 'pingreq' });
    await early.ended();
    const twice = await client(t, gateway);
    twice.send({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clean: true, keepalive: 0, clientId: 'again' });
    await twice.ended();
  });

  test('protocol versions: 3.1 and 3.1.1 are accepted, 5 is refused with its own reason code, 0x84', async (t) => {
    const gateway = await started(t);
    assert.equal(
      await (await rawClient(t, gateway.ports.mqtt)).connect({ ...USER, protocolId: 'MQIsdp', protocolVersion: 3 }),
      0,
    );
    const five = await rawClient(t, gateway.ports.mqtt);
    assert.equal(await five.connect({ ...USER, protocolVersion: 5 }), 0x84);
    await five.ended();
  });

  test('retained: a subscription receives the last message of each topic, marked; an empty one removes it', async (t) => {
    const gateway = await started(t);
    const publisher = await client(t, gateway);
    for (const [topic, qos] of [
      ['TopicA/B', 0],
      ['TopicA/C', 1],
      ['TopicB/D', 2],
    ] as const) {
      publisher.publish(topic, 'old', { qos, retain: true, messageId: 5 });
      if (qos === 2) {
        await publisher.next('pubrec');
        publisher.send({ cmd: 'pubrel', messageId: 5 });
        await publisher.next('pubcomp');
      }
    }
    await publisher.publishAcknowledged('TopicA/B', 'new', true);
    const subscriber = await client(t, gateway);
    await subscriber.subscribe('TopicA/+', 2);
    await subscriber.subscribe('TopicB/#', 0);
    await eventually(() => subscriber.messages().length === 3);
    assert.deepEqual(
      subscriber
        .messages()
        .map(({ topic, payload, retain }) => `${topic} ${payload} ${retain}`)
        .sort(),
      ['TopicA/B new true', 'TopicA/C old true', 'TopicB/D old true'],
    );
    await publisher.publishAcknowledged('TopicA/B', 'live', true);
    await eventually(() => subscriber.messages().some(({ payload, retain }) => payload === 'live' && !retain));
    for (const topic of ['TopicA/B', 'TopicA/C', 'TopicB/D']) await publisher.publishAcknowledged(topic, '', true);
    const late = await client(t, gateway);
    for (const filter of ['TopicA/#', 'TopicB/#']) await late.subscribe(filter);
    await late.settled();
    assert.deepEqual(late.messages(), []);
  });

  test('will: published with its QoS and retain flag if the connection breaks or times out, not after DISCONNECT', async (t) => {
    const gateway = await started(t);
    const watcher = await client(t, gateway);
    await watcher.subscribe('TopicC/#', 2);
    const will = (payload: string, retain = false): ConnectFields => ({
      will: { topic: 'TopicC/will', payload: Buffer.from(payload), qos: 1, retain },
    });
    (await client(t, gateway, will('broken', true))).destroy();
    const message = await watcher.next('publish');
    assert.deepEqual([message.payload.toString(), message.qos], ['broken', 1]);
    const polite = await client(t, gateway, will('polite'));
    polite.send({ cmd: 'disconnect' });
    await polite.ended();
    await client(t, gateway, { ...will('silent'), keepalive: 1 });
    assert.equal((await watcher.next('publish')).payload.toString(), 'silent');
    const late = await client(t, gateway);
    await late.subscribe('TopicC/#');
    await eventually(() => late.messages().some(({ payload, retain }) => payload === 'broken' && retain));
    assert.ok(![...watcher.messages(), ...late.messages()].some(({ payload }) => payload === 'polite'));
  });

  test('a zero-length client id is accepted with a clean session and refused with code 2 without one', async (t) => {
    const gateway = await started(t);
    const [one, two] = [await client(t, gateway, { clientId: '' }), await client(t, gateway, { clientId: '' })];
    await one.settled();
    await two.settled();
    const refused = await rawClient(t, gateway.ports.mqtt);
    // Raw bytes: no client library sends this.
    refused.sendBytes(Buffer.from([0x10, 12, 0, 4, ...Buffer.from('MQTT'), 4, 0, 0, 0, 0, 0]));
    assert.equal((await refused.next('connack')).returnCode, 2);
    await refused.ended();
  });

  test('by design nothing is queued for an absent client, and no session is resumed, even if the client asks for it', async (t) => {
    const gateway = await started(t);
    const publisher = await client(t, gateway);
    const first = await client(t, gateway, { clientId: 'kept', clean: false });
    await first.subscribe('TopicA/#', 1);
    first.send({ cmd: 'disconnect' });
    await first.ended();
    await publisher.publishAcknowledged('TopicA/x', 'while away');
    const again = await rawClient(t, gateway.ports.mqtt);
    again.send({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clientId: 'kept', clean: false, keepalive: 0, ...USER });
    assert.equal((await again.next('connack')).sessionPresent, false);
    await publisher.publishAcknowledged('TopicA/x', 'back, not subscribed');
    await again.settled();
    assert.deepEqual(again.messages(), []);
  });

  test('overlapping subscriptions of one client: each message arrives exactly once', async (t) => {
    const gateway = await started(t);
    const subscriber = await client(t, gateway);
    await subscriber.subscribe('TopicA/#', 2);
    await subscriber.subscribe('TopicA/+', 1);
    const publisher = await client(t, gateway);
    for (let i = 0; i < 20; i += 1) await publisher.publishAcknowledged('TopicA/C', String(i));
    await subscriber.settled();
    assert.deepEqual(
      subscriber.messages().map(({ payload }) => payload),
      Array.from({ length: 20 }, (_, i) => String(i)),
    );
  });

  test('a message that is overtaken inside the broker still arrives: retained ones and ones of a higher QoS among QoS 0', async (t) => {
    const gateway = await started(t);
    const subscriber = await client(t, gateway);
    await subscriber.subscribe('TopicA/#', 1);
    await subscriber.subscribe('TopicB/#', 1);
    const publisher = await client(t, gateway);
    for (let i = 0; i < 300; i += 1) {
      if (i % 2 === 0) publisher.publish('TopicA/status', String(i), { retain: true });
      else publisher.publish('TopicA/status', String(i), { qos: 1, messageId: i });
      publisher.publish('TopicB/live', `after ${i}`);
    }
    await eventually(() => subscriber.messages().length === 600);
    assert.deepEqual(
      subscriber
        .messages()
        .filter(({ topic }) => topic === 'TopicB/live')
        .map(({ payload }) => payload),
      Array.from({ length: 300 }, (_, i) => `after ${i}`),
    );
    assert.equal(
      new Set(
        subscriber
          .messages()
          .filter(({ topic }) => topic === 'TopicA/status')
          .map(({ payload }) => payload),
      ).size,
      300,
    );
  });

  test('keepalive: a client that is silent for one and a half times its keepalive is disconnected; one that pings stays', async (t) => {
    const gateway = await started(t);
    const silent = await client(t, gateway, { keepalive: 1 });
    const alive = await client(t, gateway, { keepalive: 1 });
    const pings = setInterval(() => alive.send({ cmd: 'pingreq' }), 300);
    t.after(() => clearInterval(pings));
    await silent.ended();
    await alive.next('pingresp');
    await alive.settled();
    assert.equal(alive.closed, false);
  });

  test('an unacknowledged delivery is not repeated; a QoS 2 message sent again before its PUBREL is delivered once', async (t) => {
    const gateway = await started(t);
    const subscriber = await client(t, gateway, { clientId: 'subscriber' });
    await subscriber.subscribe('TopicA/#', 2);
    const publisher = await client(t, gateway);
    publisher.publish('TopicA/x', 'twice', { qos: 2, messageId: 9 });
    await publisher.next('pubrec');
    publisher.send({ cmd: 'publish', topic: 'TopicA/x', payload: 'twice', qos: 2, dup: true, retain: false, messageId: 9 });
    await publisher.next('pubrec');
    publisher.send({ cmd: 'pubrel', messageId: 9 });
    await publisher.next('pubcomp');
    await subscriber.next('publish');
    await subscriber.settled();
    assert.deepEqual(subscriber.messages(), []);
    subscriber.destroy();
    const back = await client(t, gateway, { clientId: 'subscriber', clean: false });
    await back.settled();
    assert.deepEqual(back.messages(), []);
  });

  test('a subscription without the right fails with 0x80 beside ones that are granted, and the connection stays', async (t) => {
    const gateway = await started(t);
    const subscriber = await client(t, gateway);
    subscriber.send({
      cmd: 'subscribe',
      messageId: 3,
      subscriptions: [
        { topic: 'TopicA/a', qos: 2 },
        { topic: 'elsewhere', qos: 1 },
        { topic: 'TopicB/#', qos: 0 },
      ],
    });
    assert.deepEqual((await subscriber.next('suback')).granted, [2, 128, 0]);
    await subscriber.settled();
  });

  test('$ topics are not matched by wildcards, and cannot be subscribed or published', async (t) => {
    const gateway = await started(t);
    const subscriber = await connected(t, gateway.ports.mqtt, {
      username: 'admin-api',
      password: Buffer.from(gateway.keyOf('admin-api')),
    });
    for (const filter of ['$SYS/#', '#', '+/#']) assert.equal(await subscriber.subscribe(filter), 128);
    await subscriber.subscribe('hr/#');
    const other = await client(t, gateway);
    assert.equal(await other.publishAcknowledged('$SYS/broker', 'x'), false);
    await subscriber.settled();
    assert.deepEqual(subscriber.messages(), []);
  });

  test('unsubscribe: acknowledged, even for unknown filters; nothing arrives afterwards, and other subscriptions stay', async (t) => {
    const gateway = await started(t);
    const subscriber = await client(t, gateway);
    for (const filter of ['TopicA/a', 'TopicA/b', 'TopicB/#']) await subscriber.subscribe(filter);
    subscriber.send({ cmd: 'unsubscribe', messageId: 4, unsubscriptions: ['TopicA/a', 'never'] });
    assert.equal((await subscriber.next('unsuback')).messageId, 4);
    const publisher = await client(t, gateway);
    for (const topic of ['TopicA/a', 'TopicA/b', 'TopicB/c']) await publisher.publishAcknowledged(topic, 'x');
    await eventually(() => subscriber.messages().length === 2);
    assert.deepEqual(
      subscriber.messages().map(({ topic }) => topic),
      ['TopicA/b', 'TopicB/c'],
    );
  });

  test('wildcards match as in section 4.7: parent level, empty levels, single levels', async (t) => {
    const gateway = await started(t);
    const publisher = await client(t, gateway);
    for (const [filter, matching, other] of [
      ['TopicA/#', ['TopicA', 'TopicA/', 'TopicA/B', 'TopicA/B/C'], 'TopicC/x'],
      ['TopicA/+', ['TopicA/', 'TopicA/B'], 'TopicA/B/C'],
      ['TopicA/+/C', ['TopicA/B/C', 'TopicA//C'], 'TopicA/C'],
      ['/TopicA/+', ['/TopicA/x'], 'TopicA/x'],
    ] as const) {
      const subscriber = await client(t, gateway);
      assert.ok((await subscriber.subscribe(filter)) < 128, filter);
      for (const topic of [...matching, other]) assert.equal(await publisher.publishAcknowledged(topic, 'x'), true, topic);
      await subscriber.settled();
      assert.deepEqual(
        subscriber.messages().map(({ topic }) => topic),
        matching,
        filter,
      );
      subscriber.destroy();
    }
  });

  test('a client that connects again with its client id takes over: the older connection is closed and its will published', async (t) => {
    const gateway = await started(t);
    const watcher = await client(t, gateway);
    await watcher.subscribe('TopicC/#');
    const older = await client(t, gateway, {
      clientId: 'same',
      will: { topic: 'TopicC/w', payload: Buffer.from('taken over'), qos: 0, retain: false },
    });
    const newer = await client(t, gateway, { clientId: 'same' });
    await older.ended();
    await newer.settled();
    assert.equal((await watcher.next('publish')).payload.toString(), 'taken over');
  });

  test('WebSocket: subprotocol mqtt, binary frames, packets across frames; other subprotocols and plain HTTP are refused', async (t) => {
    const gateway = await started(t);
    const url = `ws://127.0.0.1:${gateway.ports.ws}`;
    const browser = await connectAsync(url, { protocolVersion: 4, reconnectPeriod: 0, username: 'paho', password: 'pass-word' });
    t.after(() => browser.end(true));
    const heard: string[] = [];
    browser.on('message', (_topic, payload) => void heard.push(payload.toString()));
    await browser.subscribeAsync('TopicA/#', { qos: 1 });
    await browser.publishAsync('TopicA/x', 'y'.repeat(100_000), { qos: 1 });
    await eventually(() => heard[0]?.length === 100_000);
    assert.equal((await fetch(`http://127.0.0.1:${gateway.ports.ws}/`)).status, 426);
  });
});
