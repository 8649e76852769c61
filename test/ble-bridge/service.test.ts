import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { connectAsync, type MqttClient } from 'mqtt';
import { discoveryMessages } from '../../ble-bridge/publishing/home-assistant.ts';
import { BleBridgeService } from '../../ble-bridge/service.ts';
import {
  decodePacket,
  DELIVERED_READINGS_FILTER,
  deliveryStoredTopic,
  OFFER_FILTER,
  parseOffer,
  sequencerOfTopic,
} from '../../contract/delivery.ts';
import { parseDeviceStatus, type DeviceStatus } from '../../contract/device-status.ts';
import type { Reading } from '../../contract/reading.ts';
import { parseServiceStatus, type ServiceStatus } from '../../contract/service-status.ts';
import { serviceStatusTopic } from '../../contract/topics.ts';
import { GatewayService } from '../../gateway/service.ts';
import { CommandClient } from '../../service/mqtt/command-client.ts';
import { gatewayName, readOrCreateSecret } from '../../service/storage/data-dir.ts';
import { MqttLink } from '../../service/mqtt/mqtt-link.ts';
import { eventually } from '../support/eventually.ts';
import { forwarderStatus, serviceStatus } from '../support/messages.ts';
import { tempDir } from '../support/temp-dir.ts';
import { testConfig, testLog } from '../support/test-config.ts';

const recording = fileURLToPath(new URL('../data/recordings/short-ride-rr-garmin-edge820.csv', import.meta.url));

interface Box {
  url: string;
  folder: string;
  /** The newest message of each topic. `readings` are in order of arrival. */
  topics: Map<string, string>;
  readings: Reading[];
  bridgeStatus(): ServiceStatus | undefined;
  device(match?: string): DeviceStatus | undefined;
  start(environment: Record<string, string>): Promise<BleBridgeService>;
  request(verb: 'scan-now' | 'forget-device' | 'reset-energy', args: object): Promise<unknown>;
  publishForwarder(target: 'local' | 'aws', clockAheadMs?: number | null): void;
}

/** A broker and a subscriber to everything; the test plays the forwarder, with the forwarder's rights. */
async function startBox(t: TestContext): Promise<Box> {
  const folder = tempDir(t);
  const gatewayConfig = testConfig({ DATA_DIR: folder });
  const gateway = new GatewayService({ config: gatewayConfig, log: testLog(gatewayConfig) });
  t.after(() => gateway.stop());
  await gateway.start();
  const url = `mqtt://127.0.0.1:${gateway.mqttPort}`;
  const as = async (name: 'admin-api' | 'forwarder'): Promise<MqttClient> => {
    const client = await connectAsync(url, {
      username: name,
      password: readOrCreateSecret(gatewayConfig, name),
      protocolVersion: 4,
      reconnectPeriod: 0,
    });
    t.after(() => client.end(true));
    return client;
  };
  const topics = new Map<string, string>();
  const readings: Reading[] = [];
  const subscriber = await as('admin-api');
  subscriber.on('message', (topic, payload) => {
    if (payload.length === 0) topics.delete(topic);
    else topics.set(topic, payload.toString());
    if (topic.endsWith('/bpm')) readings.push(JSON.parse(payload.toString()) as Reading);
  });
  await subscriber.subscribeAsync(['hr/#', 'edge/+/+/status', 'homeassistant/#']);
  const forwarder = await as('forwarder');
  // Acknowledges every reading that it receives.
  forwarder.on('message', (topic, payload) => {
    const sequencer = sequencerOfTopic(topic);
    const offer = parseOffer(payload);
    const stored = offer.ok
      ? { stored: offer.value.from - 1, sync: offer.value.sync }
      : { stored: decodePacket(payload).readings.at(-1)?.seq };
    if (sequencer !== undefined)
      forwarder.publish(
        deliveryStoredTopic(sequencer.gateway, sequencer.run),
        JSON.stringify({ queue: 'f000000000000001', ...stored }),
      );
  });
  await forwarder.subscribeAsync([OFFER_FILTER, DELIVERED_READINGS_FILTER]);
  return {
    url,
    folder,
    topics,
    readings,
    bridgeStatus() {
      const status = parseServiceStatus(topics.get(serviceStatusTopic('test-box', 'ble-bridge')) ?? '');
      return status.ok ? status.value : undefined;
    },
    device(match = '') {
      const payload = [...topics].find(
        ([topic]) => topic.startsWith('hr/') && topic.endsWith('/status') && topic.includes(match),
      )?.[1];
      if (payload === undefined) return undefined;
      const status = parseDeviceStatus(payload);
      assert.ok(status.ok, status.ok ? '' : status.reason);
      return status.value;
    },
    async start(environment) {
      const config = testConfig({ DATA_DIR: folder, MQTT_URL: url, ...environment });
      const service = new BleBridgeService({ config, log: testLog(config) });
      t.after(() => service.stop());
      await service.start();
      return service;
    },
    async request(verb, args) {
      const config = testConfig({ DATA_DIR: folder, MQTT_URL: url });
      const client = new CommandClient({ gateway: () => 'test-box', publish: (topic, payload) => link.publish(topic, payload) });
      const link = new MqttLink({ service: 'admin-api', config, log: testLog(config), subscriptions: client.subscriptions });
      link.start();
      try {
        await eventually(() => link.connected);
        return await client.request('ble-bridge', verb, args as never, { timeoutMs: 10_000 });
      } finally {
        await link.stop();
      }
    },
    publishForwarder(target, clockAheadMs = null) {
      const status = serviceStatus('forwarder', { forwarder: forwarderStatus({ target, clock_ahead_ms: clockAheadMs }) });
      forwarder.publish(serviceStatusTopic('test-box', 'forwarder'), JSON.stringify(status), { retain: true });
    },
  };
}

describe('the bridge on a broker', () => {
  test('simulated straps publish readings, retained statuses and discovery, and answer commands', async (t) => {
    const box = await startBox(t);
    const service = await box.start({ BLE_SOURCE: 'simulated' });
    assert.equal(await service.chosenSource(), 'simulated');
    await eventually(() => new Set(box.readings.map(({ device }) => device)).size === 3);
    assert.ok(box.readings.every(({ source, run, seq }) => source === 'simulated' && /^[0-9a-f]{16}$/.test(run) && seq > 0));
    const status = await eventually(() => (box.bridgeStatus()?.bridge?.source === 'simulated' ? box.bridgeStatus() : undefined));
    assert.equal(status.bridge?.radio.state, 'powered_on');
    assert.equal(status.checks?.find(({ name }) => name === 'radio')?.status, 'ok');
    const { device } = await eventually(() => (box.device('rest')?.state === 'streaming' ? box.device('rest') : undefined));
    const discovery = (): string[] =>
      [...box.topics.keys()].filter((topic) => topic.startsWith('homeassistant/') && topic.includes(device));
    await eventually(() => discovery().length === 4);
    assert.deepEqual(await box.request('scan-now', {}), { scanning: true });
    await eventually(
      async () =>
        await box.request('reset-energy', { device }).then(
          () => true,
          () => undefined,
        ),
    );
    await assert.rejects(box.request('forget-device', { device: 'nobody' }), /strap_unknown/);
  });

  test('forgetting a device removes its retained topics, its discovery and its kept name', async (t) => {
    const box = await startBox(t);
    await box.start({ BLE_SOURCE: 'replay', REPLAY_FILE: recording, REPLAY_SPEED: '0' });
    // The recording ends, so the strap does not advertise again after it was forgotten.
    const { device } = await eventually(() => (box.device()?.state === 'lost' ? box.device() : undefined));
    assert.equal(box.device()?.readings, 15);
    assert.deepEqual(await box.request('forget-device', { device }), { forgotten: device });
    await eventually(() => ![...box.topics.keys()].some((topic) => topic.includes(device) && !topic.endsWith('/bpm')));
    await eventually(() => !readFileSync(path.join(box.folder, 'devices.json'), 'utf8').includes(device));
  });

  test('a device known only to an earlier process is published as lost, and forgetting it removes everything', async (t) => {
    const box = await startBox(t);
    const device = 'polar-h10-a1b2c3';
    const config = testConfig({ DATA_DIR: box.folder });
    writeFileSync(
      path.join(box.folder, 'devices.json'),
      JSON.stringify([{ address: 'c0:ff:ee:a1:b2:c3', base: device, device, name: 'Polar H10', source: 'noble' }]),
    );
    const earlier = await connectAsync(box.url, {
      username: 'ble-bridge',
      password: readOrCreateSecret(config, 'ble-bridge'),
      protocolVersion: 4,
      reconnectPeriod: 0,
    });
    const status: DeviceStatus = {
      device,
      state: 'streaming',
      since: new Date().toISOString(),
      name: 'Polar H10',
      address: 'c0:ff:ee:a1:b2:c3',
      battery_percent: 50,
      rssi: -60,
      manufacturer: null,
      model: null,
      firmware: null,
      body_sensor_location: null,
      last_reading_at: new Date().toISOString(),
      readings: 7,
      reconnects: 0,
      source: 'noble',
    };
    await earlier.publishAsync(`hr/${device}/status`, JSON.stringify(status), { retain: true });
    for (const { topic, payload } of discoveryMessages(gatewayName(config), device, status))
      await earlier.publishAsync(topic, payload, { retain: true });
    await earlier.endAsync();
    await box.start({ BLE_SOURCE: 'simulated', SIMULATED_STRAPS: '1' });
    await eventually(() => box.device(device)?.state === 'lost');
    assert.equal(box.device(device)?.battery_percent, 50);
    assert.deepEqual(await box.request('forget-device', { device }), { forgotten: device });
    await eventually(() => ![...box.topics.keys()].some((topic) => topic.includes(device)));
    await eventually(() => !readFileSync(path.join(box.folder, 'devices.json'), 'utf8').includes(device));
    await assert.rejects(box.request('forget-device', { device }), /strap_unknown/);
  });

  test('auto without an adapter fails the radio check, simulates for a local target, and stops for AWS', async (t) => {
    const box = await startBox(t);
    await box.start({ BLE_SOURCE: 'auto', BLE_ADAPTER: 'hci97' });
    const check = await eventually(() => box.bridgeStatus()?.checks?.find(({ name }) => name === 'radio'));
    assert.equal(check.status, 'fail');
    assert.match(check.reason, /^there is no Bluetooth adapter hci97; the forwarder has not reported its target yet/);
    assert.equal(box.readings.length, 0);
    box.publishForwarder('local');
    await eventually(() => box.readings.length > 2);
    box.publishForwarder('aws');
    await eventually(() => box.bridgeStatus()?.bridge?.source === 'none');
    await eventually(() => ![...box.topics.keys()].some((topic) => topic.startsWith('hr/') && topic.endsWith('/status')));
  });

  test('the clock field of readings follows the status of the forwarder', async (t) => {
    const box = await startBox(t);
    await box.start({ BLE_SOURCE: 'simulated' });
    await eventually(() => box.readings.some(({ clock }) => clock === 'unknown'));
    box.publishForwarder('local', 300);
    await eventually(() => box.readings.at(-1)?.clock === 'synced');
    box.publishForwarder('local', -90_000);
    await eventually(() => box.readings.at(-1)?.clock === 'unsynced');
  });

  test('a strap that an earlier process left streaming is published as lost, then streams again under the same device', async (t) => {
    const box = await startBox(t);
    const first = await box.start({ BLE_SOURCE: 'simulated', SIMULATED_STRAPS: '1' });
    const before = await eventually(() => (box.device()?.last_reading_at === null ? undefined : box.device()));
    await first.stop();
    assert.equal(before.state, 'streaming');
    await eventually(() => box.device()?.state === 'lost');
    const second = await box.start({ BLE_SOURCE: 'simulated', SIMULATED_STRAPS: '1' });
    const again = await eventually(() => (box.device()?.state === 'streaming' ? box.device() : undefined));
    assert.equal(again.device, before.device);
    await second.stop();
  });

  test('a second bridge on the same data folder fails with data_dir_in_use', async (t) => {
    const box = await startBox(t);
    await box.start({ BLE_SOURCE: 'simulated' });
    await assert.rejects(box.start({ BLE_SOURCE: 'simulated' }), /data_dir_in_use/);
  });

  test('a missing recording fails with recording_unreadable', async (t) => {
    const box = await startBox(t);
    await assert.rejects(box.start({ BLE_SOURCE: 'replay', REPLAY_FILE: '/nowhere.csv' }), /recording_unreadable/);
  });
});
