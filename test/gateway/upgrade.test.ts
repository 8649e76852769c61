import assert from 'node:assert/strict';
import { copyFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { writeUsers } from '../../gateway/users.ts';
import { tempDir } from '../support/temp-dir.ts';
import { startGateway } from './support/gateway.ts';
import { connected, rawClient } from './support/raw-client.ts';

const PASSWORD = Buffer.from('correct horse battery');
const USERS = fileURLToPath(new URL('../data/users-1.0.0.json', import.meta.url));

test('rights that 1.0.0 granted to statuses cover the topics that name the gateway, and nothing else', async (t) => {
  const folder = tempDir(t);
  copyFileSync(USERS, path.join(folder, 'users.json'));
  const gateway = await startGateway(t, { DATA_DIR: folder });
  const dashboard = await connected(t, gateway.ports.mqtt, { username: 'dashboard', password: PASSWORD });
  for (const filter of ['edge/+/status', 'edge/+/+/status', 'edge/test-box/gateway/status', 'hr/#'])
    assert.equal(await dashboard.subscribe(filter), 0, filter);
  for (const filter of ['edge/+/+/metrics', 'edge/#', 'edge/+/offer/+', 'edge/sync'])
    assert.equal(await dashboard.subscribe(filter), 128, filter);
  await dashboard.settled();
  assert.ok(dashboard.messages().some(({ topic }) => topic === 'edge/test-box/gateway/status'));
  const watcher = await connected(t, gateway.ports.mqtt, { username: 'watcher', password: PASSWORD });
  assert.equal(await watcher.subscribe('edge/+/forwarder/status'), 0);
  assert.equal(await watcher.subscribe('edge/+/+/status'), 128);
});

test('a bridge of version 1 stays connected: its will, its status and what it offers are accepted', async (t) => {
  const gateway = await startGateway(t);
  const as = { username: 'ble-bridge', password: Buffer.from(gateway.keyOf('ble-bridge')) };
  const will = { topic: 'edge/ble-bridge/status', payload: Buffer.from('{}'), qos: 0 as const, retain: true };
  const bridge = await rawClient(t, gateway.ports.mqtt);
  assert.equal(await bridge.connect({ ...as, will }), 0);
  for (const filter of ['edge/ble-bridge/request/+', 'edge/stored/+', 'edge/sync', 'edge/forwarder/status', 'hr/+/status'])
    assert.equal(await bridge.subscribe(filter), 0, filter);
  for (const topic of ['edge/ble-bridge/status', 'edge/ble-bridge/metrics', 'edge/source/0123456789abcdef'])
    assert.equal(await bridge.publishAcknowledged(topic, '{}', false), true, topic);
});

test('the bridge of another box has rights on its own topics only, is not adopted, and is disconnected once removed', async (t) => {
  const users = { 'gym-2': { password: PASSWORD.toString(), bridge: 'gym-2' } };
  const gateway = await startGateway(t, {}, users);
  const as = { username: 'gym-2', password: PASSWORD };
  const bridge = await connected(t, gateway.ports.mqtt, as);
  assert.equal(await bridge.subscribe('edge/gym-2/stored/+'), 0);
  assert.equal(await bridge.subscribe('edge/test-box/stored/+'), 128);
  assert.equal(await bridge.publishAcknowledged('edge/test-box/readings/0123456789abcdef', '1 {}', false), false);
  // Its live plane is delivered as it is: nothing of it is adopted.
  const reader = await connected(t, gateway.ports.mqtt, {
    username: 'admin-api',
    password: Buffer.from(gateway.keyOf('admin-api')),
  });
  await reader.subscribe('hr/+/bpm');
  const again = await connected(t, gateway.ports.mqtt, as);
  assert.equal(await again.publishAcknowledged('hr/strap/bpm', '{"heart_rate":60}', false), true);
  await reader.settled();
  assert.deepEqual(
    reader.messages().map(({ topic, payload }) => [topic, payload]),
    [['hr/strap/bpm', '{"heart_rate":60}']],
  );
  assert.equal(gateway.service.adoption.outcomes['adopted'], 0);
  writeUsers(gateway.config, {});
  await again.ended();
});
