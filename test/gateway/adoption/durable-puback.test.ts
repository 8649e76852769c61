/** When a PUBACK leaves, and when it must not: on a real broker, with raw packets and with MQTT.js. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Packet } from 'mqtt-packet';
import { eventually } from '../../support/eventually.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { connected, type ConnectFields, type RawClient } from '../support/raw-client.ts';

const USERS = {
  app: { password: 'pass-word', subscribe: ['hr/#'], publish: ['hr/#'] },
  other: { password: 'pass-word', subscribe: ['hr/#'], publish: ['hr/#'] },
};
const gatewayThatHolds = async (t: TestContext, environment: Record<string, string> = {}): Promise<TestGateway> =>
  await startGateway(t, environment, USERS, {}, { storesAtOnce: false });
const app = async (t: TestContext, gateway: TestGateway, fields: ConnectFields = {}): Promise<RawClient> =>
  await connected(t, gateway.ports.mqtt, { username: 'app', password: Buffer.from('pass-word'), ...fields });
const acknowledged = (client: RawClient, cmd: 'puback' | 'pubrec' = 'puback'): number[] =>
  client.packets.flatMap((packet) => (packet.cmd === cmd ? [packet.messageId ?? 0] : []));
const timed = (index: number): string =>
  JSON.stringify({ timestamp: new Date(1_790_000_000_000 + index).toISOString(), heart_rate: 72 });
const publish = (messageId: number, payload: string, more: { qos?: 1 | 2; dup?: boolean; topic?: string } = {}): Packet => ({
  cmd: 'publish',
  topic: 'hr/Bike1/bpm',
  payload,
  qos: 1,
  dup: false,
  retain: false,
  messageId,
  ...more,
});
const outcomes = (gateway: TestGateway): Record<string, number> => gateway.service.adoption.outcomes;

describe('durable PUBACK', { concurrency: true }, () => {
  test('no PUBACK before its reading is stored; one for each that is, and live subscribers do not wait for it', async (t) => {
    const gateway = await gatewayThatHolds(t);
    const reader = await app(t, gateway);
    await reader.subscribe('hr/+/bpm', 1);
    const client = await app(t, gateway);
    for (let id = 1; id <= 300; id += 1) client.send(publish(id, timed(id)));
    await eventually(() => gateway.memory.readings.length === 300 && reader.messages().length === 300);
    assert.deepEqual(
      reader.messages().map(({ payload, qos }) => [payload, qos]),
      Array.from({ length: 300 }, (_, index) => [timed(index + 1), 1]),
    );
    await client.settled();
    assert.deepEqual(acknowledged(client), []);
    gateway.memory.store(100);
    await eventually(() => acknowledged(client).length === 100);
    await client.settled();
    assert.deepEqual(
      acknowledged(client),
      Array.from({ length: 100 }, (_, index) => index + 1),
    );
    gateway.memory.store();
    await eventually(() => acknowledged(client).length === 300);
    assert.deepEqual(outcomes(gateway)['adopted'], 300);
    assert.deepEqual(gateway.memory.readings[0], {
      timestamp: new Date(1_790_000_000_001).toISOString(),
      heart_rate: 72,
      device: 'Bike1',
      publisher: 'app',
    });
  });

  test('QoS 2: the PUBREC is held until the reading is stored, PUBREL is answered at once; QoS 0 goes to the spilling run', async (t) => {
    const gateway = await gatewayThatHolds(t);
    const client = await app(t, gateway);
    for (let id = 1; id <= 50; id += 1) client.send(publish(id, timed(id), { qos: 2 }));
    client.publish('hr/Bike1/bpm', '72');
    await eventually(() => gateway.memory.readings.length === 50 && gateway.spilling.readings.length === 1);
    await client.settled();
    assert.deepEqual(acknowledged(client, 'pubrec'), []);
    gateway.memory.store();
    await eventually(() => acknowledged(client, 'pubrec').length === 50);
    // Sent again before its PUBREL: acknowledged again, not numbered again.
    client.send(publish(50, timed(50), { qos: 2, dup: true }));
    await eventually(() => acknowledged(client, 'pubrec').length === 51);
    for (let id = 1; id <= 50; id += 1) client.send({ cmd: 'pubrel', messageId: id });
    await eventually(() => client.packets.filter(({ cmd }) => cmd === 'pubcomp').length === 50);
    assert.equal(gateway.memory.readings.length, 50);
  });

  test('what needs no storing is acknowledged at once: heart rate 0 and empty payloads', async (t) => {
    const gateway = await gatewayThatHolds(t);
    const client = await app(t, gateway);
    client.send(publish(1, '0'));
    client.send(publish(2, ''));
    client.send(publish(3, '0', { qos: 2 }));
    await eventually(() => acknowledged(client).length === 2 && acknowledged(client, 'pubrec').length === 1);
    assert.deepEqual([outcomes(gateway)['no_pulse'], outcomes(gateway)['empty'], gateway.memory.readings.length], [2, 1, 0]);
  });

  test('a window is bounded in bytes too', async (t) => {
    const gateway = await gatewayThatHolds(t);
    const client = await app(t, gateway);
    const payload = JSON.stringify({ heart_rate: 72, note: 'x'.repeat(30_000) });
    for (let id = 1; id <= 100; id += 1) client.send(publish(id, payload));
    await eventually(() => gateway.memory.readings.length > 25);
    await sleep(300);
    const bytes = gateway.memory.readings.length * payload.length;
    assert.ok(bytes <= 1024 * 1024, `${bytes} bytes`);
    for (let stored = 0; stored < 100;) {
      stored = gateway.memory.readings.length;
      gateway.memory.store();
      if (stored < 100) await eventually(() => gateway.memory.readings.length > stored);
    }
    await eventually(() => acknowledged(client).length === 100);
  });

  test('a publish that is sent again while it is held is a duplicate: with DUP, or with a timestamp of its own', async (t) => {
    const gateway = await gatewayThatHolds(t);
    const reader = await app(t, gateway);
    await reader.subscribe('hr/+/bpm');
    const client = await app(t, gateway);
    client.send(publish(7, timed(1)));
    client.send(publish(7, timed(1)));
    client.send(publish(8, '72'));
    client.send(publish(8, '72', { dup: true }));
    await eventually(() => outcomes(gateway)['duplicate'] === 2);
    // Without DUP and without a timestamp it may be the next measurement.
    client.send(publish(8, '72'));
    await eventually(() => gateway.memory.readings.length === 3);
    await reader.settled();
    assert.equal(reader.messages().length, 3);
    gateway.memory.store();
    await eventually(() => acknowledged(client).length === 2);
    await client.settled();
    assert.deepEqual(acknowledged(client), [7, 8]);
  });

  test('a message id that is used again while held is acknowledged once, when the newest reading with it is stored', async (t) => {
    const gateway = await gatewayThatHolds(t);
    const client = await app(t, gateway);
    client.send(publish(1, timed(1)));
    client.send(publish(2, timed(2)));
    client.send(publish(1, timed(3)));
    await eventually(() => gateway.memory.readings.length === 3);
    gateway.memory.store(2);
    await eventually(() => acknowledged(client).length === 1);
    await client.settled();
    assert.deepEqual(acknowledged(client), [2]);
    gateway.memory.store(3);
    await eventually(() => acknowledged(client).length === 2);
    await client.settled();
    assert.deepEqual(acknowledged(client), [2, 1]);
  });

  test('a redelivery on the next connection is the same reading, held or stored meanwhile; it gets its PUBACK there', async (t) => {
    const gateway = await gatewayThatHolds(t);
    const first = await app(t, gateway, { clientId: 'phone' });
    for (const id of [1, 2, 3]) first.send(publish(id, id === 3 ? '72' : timed(id)));
    await eventually(() => gateway.memory.readings.length === 3);
    first.destroy();
    await sleep(50);
    gateway.memory.store(1);
    const second = await app(t, gateway, { clientId: 'phone', clean: false });
    for (const id of [1, 2, 3]) second.send(publish(id, id === 3 ? '72' : timed(id), { dup: true }));
    await eventually(() => outcomes(gateway)['duplicate'] === 3);
    await eventually(() => acknowledged(second).length === 1);
    gateway.memory.store();
    await eventually(() => acknowledged(second).length === 3);
    assert.equal(gateway.memory.readings.length, 3);
    // Another user's client of the same id is somebody else.
    second.destroy();
    await sleep(50);
    const stranger = await app(t, gateway, { clientId: 'phone', username: 'other' });
    stranger.send(publish(1, timed(1), { dup: true }));
    await eventually(() => gateway.memory.readings.length === 4);
    assert.equal(gateway.memory.readings[3]?.['publisher'], 'other');
  });

  test('a dropped or missed reading is never acknowledged: its connection is closed, and a redelivery is a new reading', async (t) => {
    for (const event of ['missed', 'dropped'] as const) {
      const gateway = await gatewayThatHolds(t);
      const client = await app(t, gateway, { clientId: 'phone' });
      for (const id of [1, 2, 3]) client.send(publish(id, timed(id)));
      await eventually(() => gateway.memory.readings.length === 3);
      gateway.memory.store(1);
      if (event === 'missed') gateway.memory.miss(2, 3);
      else {
        gateway.memory.emit('dropped', { from: 2, to: 3, cause: 'outbox_full' });
        gateway.memory.store(3);
      }
      await client.ended();
      assert.ok(!acknowledged(client).some((id) => id > 1));
      const again = await app(t, gateway, { clientId: 'phone' });
      again.send(publish(2, timed(2), { dup: true }));
      await eventually(() => gateway.memory.readings.length === 4);
      gateway.memory.store();
      await eventually(() => acknowledged(again).length === 1);
    }
  });

  test('a publisher whose window makes no progress is disconnected after its time, and named in health', async (t) => {
    const gateway = await startGateway(t, {}, USERS, {}, { storesAtOnce: false, noProgressMs: 1000 });
    const client = await app(t, gateway);
    for (let id = 1; id <= 600; id += 1) client.send(publish(id, timed(id)));
    await client.ended();
    assert.equal(gateway.memory.readings.length, 500);
    const check = gateway.service.checks.find(({ name }) => name === 'other clients');
    assert.match(`${check?.status} ${check?.code} ${check?.reason}`, /^warn publisher_stalled app/);
    // Its readings are not forgotten: it stays at its limit until they are stored.
    gateway.memory.store();
  });

  test('QoS 0 beyond its share of the outbox is delivered live, counted, and not stored', async (t) => {
    const gateway = await gatewayThatHolds(t, { OUTBOX_MAX_BYTES: '64KiB' });
    const reader = await app(t, gateway);
    await reader.subscribe('hr/+/bpm');
    const client = await app(t, gateway);
    const payload = JSON.stringify({ heart_rate: 72, note: 'x'.repeat(800) });
    for (let index = 0; index < 40; index += 1) client.publish('hr/Bike1/bpm', payload);
    await eventually(() => reader.messages().length === 40);
    const { adopted = 0, share_full: full = 0 } = outcomes(gateway);
    assert.equal(adopted + full, 40);
    assert.ok(adopted * 1000 <= 16 * 1024 && adopted > 10, `${adopted} adopted`);
    // Another publisher has a share of its own.
    (await app(t, gateway, { username: 'other' })).publish('hr/Bike2/bpm', payload);
    await eventually(() => outcomes(gateway)['adopted'] === adopted + 1);
    gateway.spilling.store();
    client.publish('hr/Bike1/bpm', payload);
    await eventually(() => outcomes(gateway)['adopted'] === adopted + 2);
  });

  test('at a stop what was received is stored and acknowledged before the sockets close', async (t) => {
    const gateway = await gatewayThatHolds(t);
    const client = await app(t, gateway);
    for (let id = 1; id <= 20; id += 1) client.send(publish(id, timed(id)));
    await eventually(() => gateway.memory.readings.length === 20);
    const stopped = gateway.service.stop();
    await sleep(300);
    assert.equal(client.closed, false);
    client.send(publish(21, timed(21)));
    await sleep(50);
    gateway.memory.store();
    await stopped;
    await client.ended();
    assert.deepEqual(
      acknowledged(client),
      Array.from({ length: 20 }, (_, index) => index + 1),
    );
    assert.equal(gateway.memory.readings.length, 20);
  });

  test('GATEWAY_ADOPT=false acknowledges at once, still adopts, and says so in health', async (t) => {
    const gateway = await gatewayThatHolds(t, { GATEWAY_ADOPT: 'false' });
    const client = await app(t, gateway);
    assert.equal(await client.publishAcknowledged('hr/Bike1/bpm', '72'), true);
    assert.equal(gateway.spilling.readings.length, 1);
    assert.match(gateway.service.checks.find(({ name }) => name === 'adoption')?.code ?? '', /^adoption_off$/);
    const holding = await gatewayThatHolds(t);
    assert.equal(holding.service.checks.find(({ name }) => name === 'adoption')?.status, 'ok');
  });

  test('the self-test at the start finds an acknowledgement that is not held', async (t) => {
    const gateway = await startGateway(t, {}, USERS, {}, { storesAtOnce: false, breaksHolding: true });
    assert.match(gateway.service.checks.find(({ name }) => name === 'adoption')?.reason ?? '', /^a publish was ack/);
    assert.equal(await (await app(t, gateway)).publishAcknowledged('hr/Bike1/bpm', '72'), true);
  });
});

/** By itself: it measures. */
test('while one publisher floods, the others get their PUBACKs in time: its window is what is limited', async (t) => {
  const gateway = await gatewayThatHolds(t, { MQTT_MAX_PUBLISHES_PER_SECOND: '1000000' });
  // Stores in order, 500 readings every 25 ms, as a slow forwarder does.
  const storing = setInterval(
    () => gateway.memory.store(Math.min(gateway.memory.readings.length, gateway.memory.watermark + 500)),
    25,
  );
  t.after(() => clearInterval(storing));
  const flood = await app(t, gateway);
  const flooding = (async () => {
    for (let index = 0; index < 20_000; index += 1) {
      flood.send(publish(index + 1, timed(index)));
      // The calm ones live in this process too.
      if (index % 200 === 0) await sleep(1);
    }
  })();
  const latencies: number[] = [];
  await Promise.all(
    Array.from({ length: 50 }, async (_, index) => {
      const calm = await app(t, gateway);
      for (let round = 1; round <= 10; round += 1) {
        const sentAt = performance.now();
        calm.send(publish(round, timed(index * 100 + round), { topic: `hr/calm-${index}/bpm` }));
        // Not polled: fifty pollers would be the load.
        while (acknowledged(calm).length < round) await once(calm.socket, 'data');
        latencies.push(performance.now() - sentAt);
        await sleep(20);
      }
    }),
  );
  latencies.sort((a, b) => a - b);
  const p99 = latencies[Math.floor(latencies.length * 0.99)] ?? Number.POSITIVE_INFINITY;
  t.diagnostic(`PUBACK p50 ${latencies[latencies.length >> 1]?.toFixed(0)} ms, p99 ${p99.toFixed(0)} ms beside a flood`);
  assert.ok(p99 < 500, `p99 ${p99} ms`);
  await flooding;
  await eventually(() => acknowledged(flood).length === 20_000, { withinMs: 60_000, what: 'the PUBACKs of the flood' });
});
