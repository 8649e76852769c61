/** What other clients may do on the live plane, and what becomes of the rest. */
import assert from 'node:assert/strict';
import { describe, test, type TestContext } from 'node:test';
import { eventually } from '../../support/eventually.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { connected, rawClient, type ConnectFields, type RawClient } from '../support/raw-client.ts';

const USERS = { app: { password: 'pass-word', subscribe: ['hr/#'], publish: ['hr/#'] } };
const APP = { username: 'app', password: Buffer.from('pass-word') };
const started = async (t: TestContext): Promise<TestGateway> => await startGateway(t, {}, USERS);
const app = async (t: TestContext, gateway: TestGateway, fields: ConnectFields = {}): Promise<RawClient> =>
  await connected(t, gateway.ports.mqtt, { ...APP, ...fields });
const service = async (t: TestContext, gateway: TestGateway, name: 'ble-bridge' | 'forwarder'): Promise<RawClient> =>
  await connected(t, gateway.ports.mqtt, { username: name, password: Buffer.from(gateway.keyOf(name)) });
const refusedCodes = (gateway: TestGateway): unknown[] =>
  gateway.memory.readings.map((reading) => (reading['refused'] as { code: string } | undefined)?.code);

/** PUBLISH with QoS 1, with the bytes of a topic that no library sends. */
function publishTo(topic: Buffer, payload: string): Buffer {
  const body = Buffer.concat([Buffer.from([0, topic.length]), topic, Buffer.from([0, 1]), Buffer.from(payload)]);
  return Buffer.concat([Buffer.from([0x32, body.length]), body]);
}

describe('the live plane', { concurrency: true }, () => {
  test('a device name of a bridge belongs to it: a message of another client there is a dead letter, not delivered', async (t) => {
    const gateway = await started(t);
    const reader = await app(t, gateway);
    await reader.subscribe('hr/#', 1);
    const bridge = await service(t, gateway, 'ble-bridge');
    bridge.publish('hr/strap/status', '{"state":"streaming"}', { retain: true });
    bridge.publish('hr/other-strap/bpm', '{"heart_rate":60}');
    await bridge.settled();
    const forged = '{"timestamp":"2026-11-30T08:00:00Z","heart_rate":200,"device":"strap","run":"0123456789abcdef","seq":1}';
    const client = await app(t, gateway);
    assert.equal(await client.publishAcknowledged('hr/strap/bpm', forged), true);
    assert.equal(await client.publishAcknowledged('hr/other-strap/bpm', forged), true);
    client.publish('hr/strap/bpm', forged);
    await client.settled();
    assert.deepEqual(refusedCodes(gateway), ['device_claimed', 'device_claimed']);
    const [refusal] = gateway.memory.readings;
    assert.deepEqual([refusal?.['device'], refusal?.['publisher'], refusal?.['payload']], ['strap', 'app', forged]);
    assert.equal(gateway.spilling.readings.length, 1);
    assert.equal(gateway.service.adoption.outcomes['claimed'], 3);
    await reader.settled();
    assert.deepEqual(
      reader.messages().map(({ topic }) => topic),
      ['hr/strap/status', 'hr/other-strap/bpm'],
    );
    // The bridge forgets the strap: its name is free.
    bridge.publish('hr/strap/status', '', { retain: true });
    await bridge.settled();
    assert.equal(await client.publishAcknowledged('hr/strap/bpm', '72'), true);
    assert.equal(gateway.service.adoption.outcomes['adopted'], 1);
  });

  test('a name that another client used first belongs to a bridge from its first message on', async (t) => {
    const gateway = await started(t);
    const client = await app(t, gateway);
    await client.publishAcknowledged('hr/polar/bpm', '72');
    const bridge = await service(t, gateway, 'ble-bridge');
    bridge.publish('hr/polar/bpm', '{"heart_rate":60}');
    await bridge.settled();
    await client.publishAcknowledged('hr/polar/bpm', '72');
    assert.deepEqual(refusedCodes(gateway), [undefined, 'device_claimed']);
  });

  test('any other topic under hr/ is acknowledged, not delivered, not retained, and becomes a dead letter', async (t) => {
    const gateway = await started(t);
    const client = await app(t, gateway);
    await client.subscribe('hr/#');
    const topics = ['hr/strap/status', 'hr/strap/gap', 'hr', 'hr/x', 'hr//bpm', 'hr/x/bpm/', 'hr/./bpm', 'hr/a\u200bb/bpm'];
    for (const topic of topics) assert.equal(await client.publishAcknowledged(topic, '72', true), true, topic);
    assert.deepEqual(
      refusedCodes(gateway),
      topics.map(() => 'topic'),
    );
    const late = await app(t, gateway);
    await late.subscribe('hr/#');
    await late.settled();
    assert.deepEqual([...client.messages(), ...late.messages()], []);
  });

  test('two different topics that are not valid UTF-8 are refused, though Aedes takes them for one', async (t) => {
    const gateway = await started(t);
    const client = await app(t, gateway);
    for (const byte of [0xff, 0xfe])
      client.sendBytes(publishTo(Buffer.from([...Buffer.from('hr/a'), byte, ...Buffer.from('/bpm')]), '72'));
    await eventually(() => gateway.memory.readings.length === 2);
    assert.deepEqual(refusedCodes(gateway), ['topic', 'topic']);
    await client.settled();
  });

  test('a null character in a topic, a filter, a client id, a name or a will closes the connection', async (t) => {
    const gateway = await started(t);
    const publisher = await app(t, gateway);
    publisher.sendBytes(publishTo(Buffer.from('hr/a\0/bpm'), '72'));
    await publisher.ended();
    const subscriber = await app(t, gateway);
    subscriber.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'hr/\0/bpm', qos: 0 }] });
    await subscriber.ended();
    for (const fields of [
      { clientId: 'a\0b' },
      { username: 'app\0' },
      { will: { topic: 'x\0', payload: Buffer.from('x'), qos: 0, retain: false } },
    ] as const) {
      const client = await rawClient(t, gateway.ports.mqtt);
      assert.equal(await client.connect({ ...APP, ...fields }), 2);
      await client.ended();
    }
    assert.ok(gateway.breached('null_character'));
  });

  test('a will under hr/ is refused at CONNECT: a reading is never late', async (t) => {
    const gateway = await started(t);
    for (const topic of ['hr/Bike1/bpm', 'hr/Bike1/status']) {
      const client = await rawClient(t, gateway.ports.mqtt);
      assert.equal(await client.connect({ ...APP, will: { topic, payload: Buffer.from('72'), qos: 1, retain: false } }), 5);
    }
    assert.ok(gateway.breached('will_reading'));
    assert.equal(gateway.service.adoption.outcomes['adopted'], 0);
  });

  test('retain is dropped: a late subscriber receives no reading', async (t) => {
    const gateway = await started(t);
    const client = await app(t, gateway);
    for (const qos of [0, 1, 2] as const) client.publish('hr/Bike1/bpm', '72', { qos, retain: true, messageId: qos + 1 });
    await eventually(() => gateway.memory.readings.length === 2 && gateway.spilling.readings.length === 1);
    const late = await app(t, gateway);
    await late.subscribe('hr/#');
    await late.settled();
    assert.deepEqual(late.messages(), []);
  });

  test("a bridge's own readings pass unchanged and are not adopted; a user without the right is disconnected", async (t) => {
    const gateway = await started(t);
    const reader = await app(t, gateway);
    await reader.subscribe('hr/#');
    const bridge = await service(t, gateway, 'ble-bridge');
    bridge.publish('hr/strap/bpm', 'anything at all', { qos: 1, messageId: 1 });
    await bridge.next('puback');
    await reader.settled();
    assert.deepEqual(
      reader.messages().map(({ payload }) => payload),
      ['anything at all'],
    );
    assert.equal(gateway.memory.readings.length + gateway.spilling.readings.length, 0);
    const anonymous = await connected(t, gateway.ports.mqtt);
    assert.equal(await anonymous.publishAcknowledged('hr/Bike1/bpm', '72'), false);
  });

  test('a QoS 1 subscriber receives all of 7,500 messages of a bridge and of others at QoS 0, 1 and 2, in order per device', async (t) => {
    const gateway = await startGateway(t, { MQTT_MAX_PUBLISHES_PER_SECOND: '1000000' }, USERS);
    const reader = await app(t, gateway);
    await reader.subscribe('hr/+/bpm', 1);
    const bridge = await service(t, gateway, 'ble-bridge');
    const others = await Promise.all(([0, 1, 2] as const).map(async (qos) => ({ qos, client: await app(t, gateway) })));
    const mixed = await app(t, gateway);
    const COUNT = 1500;
    for (let index = 1; index <= COUNT; index += 1) {
      bridge.publish('hr/strap/bpm', `{"heart_rate":60,"index":${index}}`);
      for (const { qos, client } of others)
        client.publish(`hr/Bike${qos}/bpm`, `{"heart_rate":72,"index":${index}}`, { qos, messageId: index });
      // In one read of the socket: Aedes awaits its persistence for QoS 1, and its dedupe would discard what was overtaken meanwhile.
      mixed.publish('hr/mixed/bpm', `{"heart_rate":72,"index":${index}}`, { qos: index % 2 === 0 ? 0 : 1, messageId: index });
      if (index % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await eventually(() => reader.packets.length >= 5 * COUNT, { what: 'all messages' });
    for (const device of ['strap', 'Bike0', 'Bike1', 'Bike2', 'mixed'])
      assert.deepEqual(
        reader
          .messages()
          .filter(({ topic }) => topic === `hr/${device}/bpm`)
          .map(({ payload }) => (JSON.parse(payload) as { index: number }).index),
        Array.from({ length: COUNT }, (_, index) => index + 1),
        device,
      );
    assert.equal(gateway.memory.readings.length, 2.5 * COUNT);
    assert.equal(gateway.spilling.readings.length, 1.5 * COUNT);
  });

  test('each message has one outcome: the counts add up, in status and metrics', async (t) => {
    const gateway = await started(t);
    const client = await app(t, gateway);
    const payloads = ['72', '0', '', '72 bpm', '{"heart_rate":72.5}', Buffer.from([0xff]), 'NaN', 'NaN'];
    for (const payload of payloads) await client.publishAcknowledged('hr/Bike1/bpm', payload);
    client.publish('hr/Bike1/bpm', '72');
    await client.settled();
    const status = gateway.service.adoption;
    assert.deepEqual(status.outcomes, { adopted: 2, duplicate: 0, no_pulse: 1, empty: 1, claimed: 0, share_full: 0 });
    assert.deepEqual(status.refused, {
      payload_not_json: 1,
      heart_rate_not_integer: 1,
      payload_not_utf8: 1,
      payload_not_finite: 2,
    });
    const admin = await connected(t, gateway.ports.mqtt, {
      username: 'admin-api',
      password: Buffer.from(gateway.keyOf('admin-api')),
    });
    await admin.subscribe('edge/+/+/metrics');
    const metrics = await admin.next('publish');
    assert.match(metrics.payload.toString(), /"hr_gateway_adopted_total".*?"value":2/);
    assert.match(metrics.payload.toString(), /\{"labels":\{"code":"payload_not_finite"\},"value":2\}/);
  });

  test('without a forwarder on the broker the check no_forwarder fails', async (t) => {
    const gateway = await started(t);
    const check = (): string => {
      const found = gateway.service.checks.find(({ name }) => name === 'forwarder on broker');
      return `${found?.status} ${found?.code}`;
    };
    assert.equal(check(), 'ok ');
    await eventually(() => check().startsWith('fail no_forwarder'), { withinMs: 15_000 });
    await service(t, gateway, 'forwarder');
    assert.equal(check(), 'ok ');
  });
});
