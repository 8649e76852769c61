import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { connectAsync } from 'mqtt';
import { discoveryMessages } from '../../ble-bridge/publishing/home-assistant.ts';
import { BleBridgeService } from '../../ble-bridge/service.ts';
import { deviceStatusTopic } from '../../contract/topics.ts';
import { GatewayService } from '../../gateway/service.ts';
import { readOrCreateSecret } from '../../service/storage/data-dir.ts';
import { eventually } from '../support/eventually.ts';
import { deviceStatus } from '../support/messages.ts';
import { tempDir } from '../support/temp-dir.ts';
import { testConfig, testLog } from '../support/test-config.ts';

const NEVER = { readings: 0, last_reading_at: null, gateway: 'test-box', state: 'discovered' } as const;

test('a start removes the retained topics of straps that are gone: unknown ones, and known ones that never delivered', async (t) => {
  const folder = tempDir(t);
  const config = testConfig({ DATA_DIR: folder });
  const gateway = new GatewayService({ config, log: testLog(config) });
  t.after(() => gateway.stop());
  await gateway.start();
  const url = `mqtt://127.0.0.1:${gateway.mqttPort}`;
  const as = async (username: 'ble-bridge' | 'admin-api') => {
    const client = await connectAsync(url, {
      username,
      password: readOrCreateSecret(config, username),
      protocolVersion: 4,
      reconnectPeriod: 0,
    });
    t.after(() => client.end(true));
    return client;
  };
  const topics = new Map<string, string>();
  const reader = await as('admin-api');
  reader.on('message', (topic, payload) => {
    if (payload.length === 0) topics.delete(topic);
    else topics.set(topic, payload.toString());
  });
  await reader.subscribeAsync(['hr/+/status', 'homeassistant/#']);

  // What an earlier bridge left: an alias and a strap that delivered stay, and so does what another box's bridge published.
  const earlier = await as('ble-bridge');
  const statuses = [
    deviceStatus('unknown-000001', { ...NEVER }),
    deviceStatus('unknown-000002', { gateway: 'test-box' }),
    deviceStatus('stranger-000003', { ...NEVER }),
    deviceStatus('anna', { ...NEVER }),
    deviceStatus('worn-000005', { gateway: 'test-box' }),
    deviceStatus('elsewhere-000006', { ...NEVER, gateway: 'other-box' }),
  ];
  for (const status of statuses) {
    for (const { topic, payload } of discoveryMessages(status.gateway ?? '', status.device, status))
      await earlier.publishAsync(topic, payload, { retain: true });
    await earlier.publishAsync(deviceStatusTopic(status.device), JSON.stringify(status), { retain: true });
  }
  await eventually(() => topics.size === 5 * statuses.length, { what: 'everything is retained' });
  const known = (base: string, device = base): object => ({
    address: `c0:00:00:00:00:${base.slice(-2)}`,
    base,
    device,
    name: 'X',
    source: 'noble',
  });
  writeFileSync(
    path.join(folder, 'devices.json'),
    JSON.stringify([known('stranger-000003'), known('x-000004', 'anna'), known('worn-000005')]),
  );
  await earlier.endAsync();

  const bridgeConfig = testConfig({ DATA_DIR: folder, MQTT_URL: url, BLE_SOURCE: 'simulated', SIMULATED_STRAPS: '1' });
  const bridge = new BleBridgeService({ config: bridgeConfig, log: testLog(bridgeConfig) });
  t.after(() => bridge.stop());
  await bridge.start();
  const left = (): string[] => [...topics.keys()].filter((topic) => statuses.some(({ device }) => topic.includes(device))).sort();
  await eventually(() => left().length === 15, { what: `three straps are left: ${left().join(' ')}` });
  assert.deepEqual(
    left().filter((topic) => topic.startsWith('hr/')),
    ['anna', 'elsewhere-000006', 'worn-000005'].map(deviceStatusTopic),
  );
});
