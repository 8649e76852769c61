import assert from 'node:assert/strict';
import { createServer, type AddressInfo } from 'node:net';
import { hostname } from 'node:os';
import { test, type TestContext } from 'node:test';
import { Aedes } from 'aedes';
import { connectAsync, type MqttClient } from 'mqtt';
import { AdminApiService } from '../../../admin-api/service.ts';
import { BleBridgeService } from '../../../ble-bridge/service.ts';
import type { Check } from '../../../contract/check.ts';
import { parseDeviceStatus } from '../../../contract/device-status.ts';
import { parseServiceStatus, type ServiceStatus } from '../../../contract/service-status.ts';
import { SERVICE_NAMES, version1StatusTopic } from '../../../contract/topics.ts';
import { ForwarderService } from '../../../forwarder/service.ts';
import { GatewayService } from '../../../gateway/service.ts';
import { newUser, writeUsers } from '../../../gateway/users.ts';
import { operatorToken, readOrCreateSecret } from '../../../service/storage/data-dir.ts';
import { eventually } from '../../support/eventually.ts';
import { startLocalStream } from '../../support/local-stream.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { testConfig, testLog } from '../../support/test-config.ts';

const PASSWORD = 'correct horse battery';

async function started<S extends { start(): Promise<void>; stop(): Promise<void> }>(t: TestContext, service: S): Promise<S> {
  t.after(() => service.stop());
  await service.start();
  return service;
}

/** A broker that is not ours: plain Aedes, everything allowed. */
async function externalBroker(t: TestContext): Promise<string> {
  const aedes = await Aedes.createBroker();
  const server = createServer(aedes.handle);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(async () => {
    await new Promise<void>((resolve) => aedes.close(() => resolve()));
    server.close();
  });
  return `mqtt://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

interface Watcher {
  client: MqttClient;
  topics: Map<string, string>;
  /** The failing checks of all statuses received, by instance of the service. */
  failing(code: string): { gateway: string; check: Check }[];
}

/** Receives the statuses of all services on a broker. */
async function watch(t: TestContext, url: string, credentials: { username?: string; password?: string } = {}): Promise<Watcher> {
  const client = await connectAsync(url, { ...credentials, protocolVersion: 4, reconnectPeriod: 0 });
  t.after(() => client.end(true));
  const topics = new Map<string, string>();
  const statuses = new Map<string, { gateway: string; status: ServiceStatus }>();
  client.on('message', (topic, payload) => {
    if (payload.length === 0) topics.delete(topic);
    else topics.set(topic, payload.toString());
    const status = parseServiceStatus(payload);
    if (status.ok && status.value.instance !== undefined)
      statuses.set(status.value.instance, { gateway: topic.split('/')[1] ?? '', status: status.value });
  });
  await client.subscribeAsync(['edge/+/+/status', 'homeassistant/#']);
  // Topics of version 1, which our own broker does not let the admin API read.
  if (credentials.username === undefined) await client.subscribeAsync('edge/+/status');
  return {
    client,
    topics,
    failing: (code) =>
      [...statuses.values()].flatMap(({ gateway, status }) =>
        (status.checks ?? []).filter((check) => check.code === code).map((check) => ({ gateway, check })),
      ),
  };
}

/** The settings of a box on an external broker, with a folder of its own. */
const boxOn = (t: TestContext, url: string, name: string, more: Record<string, string> = {}) =>
  testConfig({ DATA_DIR: tempDir(t), MQTT_URL: url, MQTT_BROKER: 'external', GATEWAY_NAME: name, ...more });

async function forwarderOn(t: TestContext, config: ReturnType<typeof testConfig>): Promise<ForwarderService> {
  return await started(t, new ForwarderService({ config, log: testLog(config) }));
}

test("a second box's bridge delivers to the first box, is visible by itself, and takes its own commands", async (t) => {
  const folder = tempDir(t);
  const base = testConfig({ DATA_DIR: folder, GATEWAY_NAME: 'box-a' });
  writeUsers(base, { 'box-b': await newUser(PASSWORD, { publish: [], subscribe: [], bridge: 'box-b' }) });
  const stream = await startLocalStream(t, { DATA_DIR: folder });
  const gateway = await started(t, new GatewayService({ config: base, log: testLog(base) }));
  const at = `127.0.0.1:${gateway.mqttPort}`;
  const simulated = { BLE_SOURCE: 'simulated', SIMULATED_STRAPS: '1' };
  const config = testConfig({
    DATA_DIR: folder,
    GATEWAY_NAME: 'box-a',
    MQTT_URL: `mqtt://${at}`,
    LOCAL_KINESIS_PORT: String(stream.port),
    ...simulated,
  });
  const log = testLog(config);
  await forwarderOn(t, config);
  const admin = await started(t, new AdminApiService({ config, log }));
  await started(t, new BleBridgeService({ config, log }));
  const other = boxOn(t, `mqtt://box-b:${encodeURIComponent(PASSWORD)}@${at}`, 'box-b', { ...simulated, SIMULATED_STRAPS: '2' });
  const bridge = await started(t, new BleBridgeService({ config: other, log: testLog(other) }));
  const watcher = await watch(t, `mqtt://${at}`, { username: 'admin-api', password: readOrCreateSecret(base, 'admin-api') });

  const url = `http://127.0.0.1:${admin.port}`;
  const get = async <T>(path: string): Promise<T> => (await (await fetch(`${url}${path}`)).json()) as T;
  const checks = async (): Promise<Map<string, Check>> =>
    new Map((await get<{ checks: Check[] }>('/health')).checks.map((check) => [check.name, check]));
  await eventually(
    async () => {
      const { arrivals } = await get<{ arrivals: Record<string, { accepted: number }> }>('/queue');
      return (arrivals['box-a']?.accepted ?? 0) > 2 && (arrivals['box-b']?.accepted ?? 0) > 2;
    },
    { everyMs: 200, what: 'readings of both boxes accepted' },
  );
  const healthy = await checks();
  for (const name of ['ble-bridge', 'box-b: ble-bridge', 'outbox', 'box-b: outbox'])
    assert.equal(healthy.get(name)?.status, 'ok', `${name} of ${[...healthy.keys()].join(', ')}`);
  const metrics = await eventually(async () => {
    const text = await (await fetch(`${url}/metrics`)).text();
    return text.includes('hr_gateway_outbox_held{gateway="box-b"}') ? text : undefined;
  });
  for (const name of ['box-a', 'box-b'])
    assert.ok(metrics.includes(`hr_gateway_service_up{gateway="${name}",service="ble-bridge"} 1`), name);

  const devices = await get<{ device: string; gateway: string }[]>('/devices');
  // The first simulated straps of both boxes have the same name, the second one is the other box's alone.
  const ofOther = devices.findLast((device) => device.gateway === 'box-b')?.device ?? '';
  const discovery = [...watcher.topics].filter(([topic]) => topic.includes(`box-b_${ofOther}/`));
  assert.ok(discovery.length > 0);
  for (const [, payload] of discovery) assert.match(payload, /"edge\/box-b\/ble-bridge\/status"/);
  const answer = await fetch(`${url}/devices/${ofOther}`, {
    method: 'DELETE',
    headers: { authorization: `Bearer ${operatorToken(config)}` },
  });
  assert.deepEqual([answer.status, await answer.json()], [200, { forgotten: ofOther }]);

  await bridge.stop();
  const down = await eventually(
    async () => {
      const now = await checks();
      return now.get('box-b: ble-bridge')?.status === 'fail' ? now : undefined;
    },
    { everyMs: 200, what: 'the check of the stopped bridge' },
  );
  assert.equal(down.get('ble-bridge')?.status, 'ok');
  assert.match(down.get('box-b: ble-bridge')?.hint ?? '', /edge\/box-b\/ble-bridge\/status/);
});

test('two bridges with one strap do not overwrite its status in turn; when one ends, the other takes it over', async (t) => {
  const url = await externalBroker(t);
  const watcher = await watch(t, url);
  const owners: string[] = [];
  watcher.client.on('message', (topic, payload) => {
    const status = parseDeviceStatus(payload);
    if (/^hr\/.*\/status$/.test(topic) && status.ok && status.value.state === 'streaming')
      owners.push(status.value.gateway ?? '');
  });
  await watcher.client.subscribeAsync('hr/+/status');
  const bridges = new Map<string, BleBridgeService>();
  for (const name of ['box-a', 'box-b']) {
    const config = boxOn(t, url, name, { BLE_SOURCE: 'simulated', SIMULATED_STRAPS: '1' });
    bridges.set(name, await started(t, new BleBridgeService({ config, log: testLog(config) })));
    await eventually(() => watcher.topics.has(`edge/${name}/ble-bridge/status`));
  }
  // Statuses of a strap that sends are published every 5 s.
  await eventually(() => owners.length >= 4, { what: 'statuses of the strap' });
  const [owner = ''] = owners.slice(-1);
  assert.ok(owners.filter((name, index) => index > 0 && name !== owners[index - 1]).length <= 1, owners.join(' '));
  const other = owner === 'box-a' ? 'box-b' : 'box-a';
  await bridges.get(owner)?.stop();
  await eventually(() => owners.at(-1) === other, { what: `the status of the strap is that of ${other}` });
});

test('two forwarders that take the same readings fail a check on both, which names the other', async (t) => {
  const url = await externalBroker(t);
  const watcher = await watch(t, url);
  await forwarderOn(t, boxOn(t, url, 'box-a', { FORWARDER_GATEWAYS: '*' }));
  await forwarderOn(t, boxOn(t, url, 'box-b'));
  const found = await eventually(
    () => {
      const all = watcher.failing('second_forwarder').filter(({ check }) => check.reason.includes(hostname()));
      return new Set(all.map(({ gateway }) => gateway)).size === 2 ? all : undefined;
    },
    { what: 'the check on both forwarders' },
  );
  for (const { gateway, check } of found) assert.match(check.reason, gateway === 'box-a' ? /box-b/ : /box-a/);
});

test('forwarders of boxes that take different readings share an external broker without a failing check', async (t) => {
  const url = await externalBroker(t);
  const watcher = await watch(t, url);
  await forwarderOn(t, boxOn(t, url, 'box-a'));
  await forwarderOn(t, boxOn(t, url, 'box-b'));
  await new Promise((resolve) => setTimeout(resolve, 6000));
  assert.deepEqual([...watcher.topics.keys()].filter((topic) => topic.startsWith('edge/')).sort(), [
    'edge/box-a/forwarder/status',
    'edge/box-b/forwarder/status',
  ]);
  for (const code of ['second_forwarder', 'gateway_name_taken', 'broker_mismatch']) assert.deepEqual(watcher.failing(code), []);
});

test('two boxes of one name fail a check on both, which names the host of the other; a restart of one does not', async (t) => {
  const url = await externalBroker(t);
  const watcher = await watch(t, url);
  const bridgeOf = (): BleBridgeService => {
    const config = boxOn(t, url, 'twin', { BLE_SOURCE: 'simulated', SIMULATED_STRAPS: '1' });
    return new BleBridgeService({ config, log: testLog(config) });
  };
  const first = bridgeOf();
  await first.start();
  await first.stop();
  await started(t, bridgeOf());
  await new Promise((resolve) => setTimeout(resolve, 6000));
  assert.deepEqual(watcher.failing('gateway_name_taken'), []);
  await started(t, bridgeOf());
  const found = await eventually(
    () => {
      const all = watcher.failing('gateway_name_taken');
      return all.length === 2 ? all : undefined;
    },
    { what: 'the check on both bridges' },
  );
  for (const { check } of found) {
    assert.equal(check.name, 'gateway name');
    assert.ok(check.reason.includes(hostname()));
  }
});

test('MQTT_BROKER=external on a broker that adopts fails a check, and un-numbered readings are not taken a second time', async (t) => {
  const base = testConfig({ DATA_DIR: tempDir(t) });
  writeUsers(base, { app: await newUser(PASSWORD, { publish: ['hr/phone/bpm'], subscribe: [] }) });
  const gateway = await started(t, new GatewayService({ config: base, log: testLog(base) }));
  const at = `127.0.0.1:${gateway.mqttPort}`;
  const config = testConfig({ DATA_DIR: base.DATA_DIR, MQTT_URL: `mqtt://${at}`, MQTT_BROKER: 'external' });
  await forwarderOn(t, config);
  const watcher = await watch(t, `mqtt://${at}`, { username: 'admin-api', password: readOrCreateSecret(base, 'admin-api') });
  const { check } = await eventually(() => watcher.failing('broker_mismatch')[0], { what: 'the check' });
  assert.match(check.reason, /MQTT_BROKER is external/);
  const app = await connectAsync(`mqtt://${at}`, { username: 'app', password: PASSWORD, protocolVersion: 4, reconnectPeriod: 0 });
  t.after(() => app.end(true));
  for (let count = 1; count <= 20; count += 1) await app.publishAsync('hr/phone/bpm', String(60 + count), { qos: 1 });
  const accepted = (): number => {
    const status = parseServiceStatus(watcher.topics.get('edge/test-box/forwarder/status') ?? '');
    return status.ok ? (status.value.forwarder?.ledger.accepted ?? 0) : 0;
  };
  await eventually(() => accepted() >= 20);
  await new Promise((resolve) => setTimeout(resolve, 1500));
  assert.equal(accepted(), 20);
});

test('MQTT_BROKER=own on a broker without a gateway of this box fails a check, and takes no un-numbered reading', async (t) => {
  const url = await externalBroker(t);
  const watcher = await watch(t, url);
  await forwarderOn(t, boxOn(t, url, 'box-a', { MQTT_BROKER: 'own' }));
  await watcher.client.publishAsync('hr/phone/bpm', '72');
  const { check } = await eventually(() => watcher.failing('broker_mismatch')[0], { what: 'the check' });
  assert.match(check.reason, /no gateway named box-a/);
  const status = parseServiceStatus(watcher.topics.get('edge/box-a/forwarder/status') ?? '');
  assert.ok(status.ok);
  assert.equal(status.value.forwarder?.ledger.accepted, 0);
});

test('on an external broker status and health say that the PUBACK of other clients is only its word', async (t) => {
  const url = await externalBroker(t);
  const watcher = await watch(t, url);
  await forwarderOn(t, boxOn(t, url, 'box-a', { MQTT_BROKER: 'external' }));
  const status = await eventually(() => {
    const parsed = parseServiceStatus(watcher.topics.get('edge/box-a/forwarder/status') ?? '');
    return parsed.ok && parsed.value.state === 'online' ? parsed.value : undefined;
  });
  assert.equal(status.forwarder?.puback_means, 'received');
  const check = status.checks?.find(({ name }) => name === "other clients' readings");
  assert.equal(check?.status, 'ok');
  assert.match(check.reason, /external broker's word/);
});

test("retained statuses of version 1 are removed from an external broker; nobody else's message is", async (t) => {
  const url = await externalBroker(t);
  const watcher = await watch(t, url);
  const since = '2026-11-01T08:00:00.000Z';
  for (const service of SERVICE_NAMES)
    await watcher.client.publishAsync(
      version1StatusTopic(service),
      JSON.stringify({
        service,
        state: service === 'gateway' ? 'offline' : 'online',
        since,
        version: '1.0.0',
        pid: 7,
        as_of: since,
        checks: [{ name: 'queue', status: 'fail', since, reason: 'disk_full: no room', hint: 'free space' }],
      }),
      { retain: true },
    );
  const others = [
    ['edge/lamp/status', '{"service":"forwarder","state":"online","since":"2026-11-01T08:00:00.000Z","version":"1.0.0"}'],
    ['edge/lamp-2/status', 'on'],
  ] as const;
  for (const [topic, payload] of others) await watcher.client.publishAsync(topic, payload, { retain: true });
  await forwarderOn(t, boxOn(t, url, 'box-a'));
  const version1 = SERVICE_NAMES.map(version1StatusTopic);
  await eventually(() => version1.every((topic) => !watcher.topics.has(topic)), { what: 'the topics removed' });
  // A new subscriber gets only what is still retained.
  const late = await watch(t, url);
  await eventually(() => late.topics.has('edge/lamp-2/status'));
  assert.deepEqual([...late.topics.keys()].filter((topic) => topic.split('/').length === 3).sort(), [
    'edge/lamp-2/status',
    'edge/lamp/status',
  ]);
});
