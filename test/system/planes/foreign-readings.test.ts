/**
 * Readings that are not ours, but look like them: relayed from another box, or published by an app that keeps the fields of what it
 * received. Law: each is stored, or refused with a code and counted, on our own broker and on Mosquitto.
 */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectAsync, type MqttClient } from 'mqtt';
import { newUser, writeUsers } from '../../../gateway/users.ts';
import { hasMosquitto, MOSQUITTO_MISSING, startMosquitto } from '../../support/brokers/mosquitto.ts';
import { cannotRun } from '../../support/cannot-run.ts';
import { eventually } from '../../support/eventually.ts';
import { freePort } from '../../support/free-port.ts';
import type { StreamReading } from '../pipeline/support/stream.ts';
import { printedRights } from './support/printed-rights.ts';
import { assertTrueRun, StrapBox } from './support/strap-box.ts';

const BOX = 'front-desk';
const EVERY_MS = 50;
const APP = { username: 'app', password: 'pass-word' };
const FORGED = 251;

interface Site {
  box: StrapBox;
  /** An app that may publish every reading and read all of them. */
  app(): Promise<MqttClient>;
  /** Lines of mosquitto.conf that relay another broker's readings here. */
  relay: readonly string[];
  /** Kills the broker, so that what it retained is lost, and starts it again. */
  loseRetained(): Promise<void>;
}

async function connected(t: TestContext, port: number, login: Partial<typeof APP> = {}): Promise<MqttClient> {
  const client = await connectAsync(`mqtt://127.0.0.1:${port}`, { ...login, protocolVersion: 4, reconnectPeriod: 0 });
  t.after(() => client.end(true));
  return client;
}

async function onMosquitto(t: TestContext): Promise<Site | undefined> {
  if (!hasMosquitto()) {
    cannotRun(t, MOSQUITTO_MISSING);
    return undefined;
  }
  const rights = await printedRights(t, BOX);
  const broker = await startMosquitto(t, {
    passwords: rights.passwords,
    // Mosquitto closes the connection of a relay that publishes without the right: it relays statuses too.
    acl: `topic readwrite hr/#\n${rights.acl}`,
    allowsAnonymous: true,
  });
  const box = await StrapBox.make(t, {
    name: BOX,
    mqttUrl: broker.url(rights.user, rights.password),
    everyMs: EVERY_MS,
    environment: { MQTT_BROKER: 'external' },
  });
  return {
    box,
    app: async () => await connected(t, broker.port),
    relay: [`address 127.0.0.1:${broker.port}`, 'topic hr/# out 0'],
    loseRetained: async () => await broker.restart('SIGKILL'),
  };
}

async function onOurs(t: TestContext): Promise<Site> {
  const port = await freePort();
  const box = await StrapBox.make(t, {
    name: BOX,
    mqttUrl: `mqtt://127.0.0.1:${port}`,
    everyMs: EVERY_MS,
    environment: { MQTT_LISTEN_PORT: String(port) },
  });
  writeUsers(box.config, { app: await newUser(APP.password, { publish: ['hr/+/bpm'], subscribe: ['hr/#'] }) });
  await box.start('gateway');
  return {
    box,
    app: async () => await connected(t, port, APP),
    relay: [
      `address 127.0.0.1:${port}`,
      `remote_username ${APP.username}`,
      `remote_password ${APP.password}`,
      'topic hr/+/bpm out 1',
    ],
    async loseRetained() {
      await box.stop('gateway');
      await box.start('gateway');
    },
  };
}

const SITES = { 'our broker': onOurs, Mosquitto: onMosquitto };

interface Original {
  gateway: string;
  run: string;
  seq: number;
  device: string;
}

const originalText = (reading: StreamReading): string =>
  'original' in reading && typeof reading.original === 'string' ? reading.original : '{}';
const originalOf = (reading: StreamReading): Original => JSON.parse(originalText(reading)) as Original;

const byDevice = (readings: readonly StreamReading[], device: string): StreamReading[] =>
  readings.filter((reading) => reading.device === device);

for (const [name, make] of Object.entries(SITES)) {
  test(`${name}: readings of another box that an MQTT bridge relays are stored, each once, beside those of our strap`, async (t) => {
    const site = await make(t);
    if (site === undefined) return;
    if (!hasMosquitto()) return cannotRun(t, MOSQUITTO_MISSING);
    const { box } = site;
    for (const service of ['admin-api', 'forwarder', 'ble-bridge'] as const) await box.start(service);
    const upstream = await startMosquitto(t, {
      passwords: { gym: APP.password },
      acl: 'topic readwrite #\nuser gym\ntopic readwrite #\n',
      allowsAnonymous: true,
      settings: ['connection relay', ...site.relay, 'notifications false', 'cleansession true'],
    });
    const gym = await StrapBox.make(t, {
      name: 'gym-2',
      mqttUrl: upstream.url('gym', APP.password),
      everyMs: EVERY_MS,
      environment: { MQTT_BROKER: 'external', BLE_ALIASES: 'F2:20:54:C3:CE:D7=bike' },
    });
    const watcher = await connected(t, upstream.port);
    const published: Original[] = [];
    watcher.on('message', (_, payload) => published.push(JSON.parse(payload.toString()) as Original));
    await watcher.subscribeAsync('hr/+/bpm');
    // The relay connects a moment after the broker accepts connections.
    await sleep(1500);
    await gym.start('ble-bridge');
    await eventually(() => published.length > 60);
    await gym.stop('ble-bridge');
    const [{ device, run } = { device: '', run: '' }] = published;
    const relayed = await eventually(
      async () => {
        const stored = byDevice(await box.stream.readAll(), device);
        return stored.length >= published.length ? stored : undefined;
      },
      { everyMs: 500, what: `${published.length} relayed readings of ${device} are stored` },
    );
    assert.deepEqual(
      relayed.map((reading) => originalOf(reading).seq).sort((a, b) => a - b),
      published.map(({ seq }) => seq),
    );
    for (const reading of relayed) {
      assert.equal(reading.gateway, BOX);
      assert.notEqual(reading.run, run);
      assert.equal(originalOf(reading).gateway, 'gym-2');
    }
    const ours = (await box.stream.readAll()).find((reading) => reading.device !== device);
    assertTrueRun(await box.stream.readAll(), ours?.run ?? '');
    const { ledger } = await box.queue();
    assert.equal(ledger.dead, 0);
  });

  test(`${name}: a flow that keeps our fields, and an app named Bike1: everything is stored, or a dead letter`, async (t) => {
    const site = await make(t);
    if (site === undefined) return;
    const { box } = site;
    for (const service of ['admin-api', 'forwarder', 'ble-bridge'] as const) await box.start(service);
    const app = await site.app();
    const sent = { derived: 0, kept: 0, claimed: 0, Bike1: 0, 'Läufer 7': 0 };
    let strap = '';
    app.on('message', (topic, payload) => {
      const reading = JSON.parse(payload.toString()) as Partial<StreamReading> & { zone?: number };
      if (reading.zone !== undefined || reading.run === undefined || reading.device === undefined) return;
      strap = reading.device;
      const flow = { ...reading, zone: 3 };
      app.publish('hr/derived/bpm', JSON.stringify({ ...flow, device: 'derived' }), { qos: 1 });
      app.publish('hr/kept/bpm', JSON.stringify(flow), { qos: 1 });
      app.publish(topic, JSON.stringify({ zone: 3, heart_rate: FORGED }), { qos: 1 });
      for (const device of ['Bike1', 'Läufer 7'])
        app.publish(`hr/${device}/bpm`, JSON.stringify({ ...flow, device }), { qos: 1 });
      for (const key of ['derived', 'kept', 'claimed', 'Bike1', 'Läufer 7'] as const) sent[key] += 1;
    });
    await app.subscribeAsync('hr/+/bpm');
    await eventually(() => sent.kept > 40);
    await app.unsubscribeAsync('hr/+/bpm');
    await box.stop('ble-bridge');
    const { claimed, ...devices } = sent;
    const readings = await eventually(
      async () => {
        const all = await box.stream.readAll();
        return Object.entries(devices).every(([device, count]) => byDevice(all, device).length >= count) ? all : undefined;
      },
      { everyMs: 500, what: `everything is stored: ${JSON.stringify(devices)}` },
    );
    for (const [device, count] of Object.entries(devices)) {
      const stored = byDevice(readings, device);
      assert.equal(stored.length, count, device);
      for (const reading of stored) assert.match(originalText(reading), /"zone":3/);
    }
    assert.ok(byDevice(readings, strap).every(({ heart_rate: bpm }) => bpm !== FORGED));
    await eventually(async () => (await box.queue()).ledger.dead === claimed, { what: `${claimed} dead letters` });
  });

  test(`${name}: a strap's name stays its own without its bridge, after restarts, and if what was retained is lost`, async (t) => {
    const site = await make(t);
    if (site === undefined) return;
    const { box } = site;
    for (const service of ['admin-api', 'forwarder', 'ble-bridge'] as const) await box.start(service);
    const { device } = await eventually(async () => (await box.stream.readAll())[0]);
    await box.stop('ble-bridge');
    for (const [round, lose] of [async (): Promise<void> => {}, site.loseRetained].entries()) {
      await box.stop('forwarder');
      await lose();
      await box.start('forwarder');
      const app = await site.app();
      await eventually(
        async () => {
          await app.publishAsync(`hr/${device}/bpm`, String(FORGED), { qos: 1 });
          return (await box.queue()).ledger.dead > round;
        },
        { everyMs: 300, what: 'the forged reading is a dead letter' },
      );
    }
    assert.ok((await box.stream.readAll()).every(({ heart_rate: bpm }) => bpm !== FORGED));
  });
}
