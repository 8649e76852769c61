/** A box gets another GATEWAY_NAME while it holds readings. Law: they are delivered under the name that they were numbered with. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newUser, writeUsers } from '../../../gateway/users.ts';
import { hasMosquitto, MOSQUITTO_MISSING, startMosquitto } from '../../support/brokers/mosquitto.ts';
import { cannotRun } from '../../support/cannot-run.ts';
import { eventually } from '../../support/eventually.ts';
import { freePort } from '../../support/free-port.ts';
import type { StreamReading } from '../pipeline/support/stream.ts';
import { printedRights } from './support/printed-rights.ts';
import { assertTrueRun, StrapBox } from './support/strap-box.ts';

const KEY = 'key-of-the-second-box';
const HELD_MIN = 40;

const of = (readings: readonly StreamReading[], gateway: string): StreamReading[] =>
  readings.filter((reading) => reading.gateway === gateway);

/** Runs the bridge of a box for which there is no forwarder, then stops it: everything is on its disk. Returns its newest seq. */
async function hold(box: StrapBox): Promise<number> {
  const bridge = await box.start('ble-bridge');
  await eventually(() => bridge.held >= HELD_MIN, { what: `${HELD_MIN} readings are held` });
  await box.stop('ble-bridge');
  return bridge.held;
}

/** Every reading that was held is in the stream, under the name that numbered it. */
async function assertDelivered(stream: StrapBox['stream'], gateway: string, held: number): Promise<void> {
  const readings = await eventually(
    async () => {
      const all = of(await stream.readAll(), gateway);
      return all.length >= held ? all : undefined;
    },
    { everyMs: 300, what: `${held} readings of ${gateway} in the stream` },
  );
  assert.ok(assertTrueRun(readings, readings[0]?.run ?? '') >= held);
}

test('a second box that was renamed delivers at once, and what it holds under its old name once that is granted', async (t) => {
  const port = await freePort();
  const first = await StrapBox.make(t, {
    name: 'front-desk',
    mqttUrl: `mqtt://127.0.0.1:${port}`,
    environment: { MQTT_LISTEN_PORT: String(port) },
  });
  const bridgeOf = async (bridge: string, formerly?: string[]): Promise<void> =>
    writeUsers(first.config, {
      [bridge]: await newUser(KEY, { publish: [], subscribe: [], bridge, ...(formerly === undefined ? {} : { formerly }) }),
    });
  const named = async (name: string, more: Record<string, string> = {}): Promise<StrapBox> =>
    await StrapBox.make(t, {
      name,
      mqttUrl: `mqtt://${name}:${KEY}@127.0.0.1:${port}`,
      environment: { MQTT_BROKER: 'external', ...more },
    });
  await bridgeOf('gym-2');
  const gateway = await first.start('gateway');
  const before = await named('gym-2');
  const held = await hold(before);

  await bridgeOf('gym-3');
  for (const name of ['forwarder', 'admin-api'] as const) await first.start(name);
  const renamed = await named('gym-3', { DATA_DIR: before.config.DATA_DIR });
  await renamed.start('ble-bridge');
  await eventually(async () => of(await first.stream.readAll(), 'gym-3').length > HELD_MIN, { everyMs: 300 });
  const check = await eventually(async () => await first.failing('subscription_refused'), { everyMs: 300 });
  assert.match(check.reason, /edge\/gym-2\/stored/);
  assert.equal(gateway.breaches['publish_right'] ?? 0, 0);
  assert.deepEqual(of(await first.stream.readAll(), 'gym-2'), []);

  await bridgeOf('gym-3', ['gym-2']);
  await assertDelivered(first.stream, 'gym-2', held);
});

test('a box on Mosquitto that was renamed delivers what it holds under its old name, with the rights printed for both', async (t) => {
  if (!hasMosquitto()) return cannotRun(t, MOSQUITTO_MISSING);
  const [old, now] = ['front-desk', 'reception'] as const;
  const rightsBefore = await printedRights(t, old);
  const rights = await printedRights(t, now, {}, ['--formerly', old]);
  const broker = await startMosquitto(t, {
    passwords: `${rightsBefore.passwords}${rights.passwords}`,
    acl: `${rightsBefore.acl}\n${rights.acl}`,
  });
  const before = await StrapBox.make(t, {
    name: old,
    mqttUrl: broker.url(rightsBefore.user, rightsBefore.password),
    environment: { MQTT_BROKER: 'external' },
  });
  const held = await hold(before);
  const { DATA_DIR } = before.config;
  const renamed = await StrapBox.make(t, {
    name: now,
    mqttUrl: broker.url(rights.user, rights.password),
    environment: { MQTT_BROKER: 'external', DATA_DIR, FORWARDER_GATEWAYS: old },
  });
  for (const name of ['forwarder', 'ble-bridge'] as const) await renamed.start(name);
  await assertDelivered(renamed.stream, old, held);
  await eventually(async () => of(await renamed.stream.readAll(), now).length > 10, { what: 'readings under the new name' });
});
