import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { connectAsync } from 'mqtt';
import {
  bridgeMessage,
  discoveryMessages,
  HomeAssistant,
  type StrapDescription,
} from '../../../ble-bridge/publishing/home-assistant.ts';
import { BleBridgeService } from '../../../ble-bridge/service.ts';
import { SERVICE_AVAILABLE, type DiscoveryMessage } from '../../../contract/home-assistant.ts';
import { deviceStatusTopic, readingTopic, serviceStatusTopic } from '../../../contract/topics.ts';
import { boxMessages } from '../../../forwarder/box-discovery.ts';
import { GatewayService } from '../../../gateway/service.ts';
import { eventually } from '../../support/eventually.ts';
import { pythonWith } from '../../support/python-venv.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { runCli } from '../../cli/support/run-cli.ts';
import { testConfig, testLog } from '../../support/test-config.ts';

/**
 * The fields that Home Assistant accepts, and the kinds of their values: www.home-assistant.io/integrations/sensor.mqtt and
 * /binary_sensor.mqtt, and the schemas of its source, homeassistant/components/mqtt/schemas.py, sensor.py and binary_sensor.py.
 * `default_entity_id` replaced `object_id` in 2026.4. Its schema refuses an entity with any other key.
 */
const text = (value: unknown): boolean => typeof value === 'string' && value !== '';
const topic = (value: unknown): boolean => typeof value === 'string' && /^[^#+\0]+$/.test(value);
const template = (value: unknown): boolean => typeof value === 'string' && /\{\{.*\}\}/.test(value);
const isConfig = (value: unknown): value is Config => typeof value === 'object' && value !== null;
const oneOf =
  (...allowed: string[]) =>
  (value: unknown): boolean =>
    typeof value === 'string' && allowed.includes(value);
const fields =
  (known: Record<string, (value: unknown) => boolean>, needed: string[]) =>
  (value: unknown): boolean =>
    typeof value === 'object' &&
    value !== null &&
    Object.entries(value).every(([key, field]) => known[key]?.(field) === true) &&
    needed.every((key) => key in value);
const SHARED: Record<string, (value: unknown) => boolean> = {
  name: text,
  unique_id: text,
  icon: (value) => typeof value === 'string' && /^mdi:[a-z-]+$/.test(value),
  state_topic: topic,
  value_template: template,
  expire_after: (value) => Number.isInteger(value) && Number(value) > 0,
  entity_category: oneOf('config', 'diagnostic'),
  availability_mode: oneOf('all', 'any', 'latest'),
  availability: (value) =>
    Array.isArray(value) &&
    value.every(fields({ topic, value_template: template, payload_available: text, payload_not_available: text }, ['topic'])),
  device: fields(
    {
      identifiers: (value) => Array.isArray(value) && value.length > 0 && value.every(text),
      name: text,
      manufacturer: text,
      model: text,
      model_id: text,
      sw_version: text,
      hw_version: text,
      serial_number: text,
      suggested_area: text,
      via_device: text,
      connections: (value) =>
        Array.isArray(value) &&
        value.every(
          (pair) => Array.isArray(pair) && pair[0] === 'bluetooth' && /^([0-9A-F]{2}:){5}[0-9A-F]{2}$/.test(String(pair[1])),
        ),
      configuration_url: text,
    },
    ['identifiers'],
  ),
  origin: fields({ name: text, sw_version: text, support_url: text }, ['name']),
};
const FIELDS: Record<string, Record<string, (value: unknown) => boolean>> = {
  sensor: {
    ...SHARED,
    default_entity_id: (value) => typeof value === 'string' && /^sensor\.[a-z0-9_]+$/.test(value),
    state_class: oneOf('measurement', 'total', 'total_increasing'),
    unit_of_measurement: text,
    device_class: oneOf('battery', 'signal_strength', 'timestamp'),
    json_attributes_topic: topic,
    json_attributes_template: template,
  },
  binary_sensor: {
    ...SHARED,
    default_entity_id: (value) => typeof value === 'string' && /^binary_sensor\.[a-z0-9_]+$/.test(value),
    device_class: oneOf('occupancy', 'problem'),
    json_attributes_topic: topic,
    json_attributes_template: template,
    payload_on: text,
    payload_off: text,
  },
};
/** Units of device classes: www.home-assistant.io/integrations/sensor. */
const UNITS: Record<string, string> = { battery: '%', signal_strength: 'dBm' };

type Config = Record<string, unknown>;
const DEVICE = 'polar-h10-a1b2c3';
const STRAP: StrapDescription = {
  name: 'Polar H10',
  address: 'c0:ff:ee:a1:b2:c3',
  manufacturer: 'Polar Electro Oy',
  model: 'H10',
  firmware: '3.1.1',
  source: 'noble',
};
const read = ({ topic, payload }: DiscoveryMessage): { topic: string; config: Config } => {
  const config: unknown = JSON.parse(payload);
  assert.ok(isConfig(config), `${topic} is no object`);
  return { topic, config };
};
const configs = (strap: StrapDescription = STRAP): { topic: string; config: Config }[] =>
  discoveryMessages('front-desk', DEVICE, strap).map(read);
const boxConfigs = (): { topic: string; config: Config }[] =>
  [bridgeMessage('front-desk'), ...boxMessages('front-desk')].map(read);

describe('Home Assistant discovery', () => {
  test('every field is one that Home Assistant accepts, with a value of the kind that it accepts', () => {
    for (const { topic: at, config } of [...configs(), ...boxConfigs()]) {
      const [prefix, component, node, entity, end] = at.split('/');
      assert.deepEqual([prefix, end], ['homeassistant', 'config']);
      assert.match(`${node}${entity}`, /^[a-zA-Z0-9_-]+$/);
      const known = FIELDS[component ?? ''] ?? {};
      for (const [key, value] of Object.entries(config))
        assert.ok(known[key]?.(value) === true, `${at}: ${key}: ${JSON.stringify(value)}`);
      for (const key of ['name', 'state_topic', 'unique_id', 'device', 'origin', 'availability'])
        assert.ok(key in config, `${at}: ${key}`);
      if (typeof config['device_class'] === 'string' && component === 'sensor')
        assert.equal(config['unit_of_measurement'], UNITS[config['device_class']], at);
    }
  });

  test('each strap has heart rate, contact, battery and signal strength, each with its own id', () => {
    const all = configs();
    assert.deepEqual(
      all.map(({ config }) => [config['default_entity_id'], config['state_topic']]),
      [
        ['sensor.polar_h10_a1b2c3_heart_rate', readingTopic(DEVICE)],
        ['binary_sensor.polar_h10_a1b2c3_contact', readingTopic(DEVICE)],
        ['sensor.polar_h10_a1b2c3_battery', deviceStatusTopic(DEVICE)],
        ['sensor.polar_h10_a1b2c3_rssi', deviceStatusTopic(DEVICE)],
      ],
    );
    assert.equal(new Set(all.map(({ config }) => config['unique_id'])).size, 4);
    for (const { config } of all)
      assert.deepEqual(config['device'], {
        identifiers: ['front-desk_polar-h10-a1b2c3'],
        name: 'Polar H10',
        manufacturer: 'Polar Electro Oy',
        model: 'H10',
        sw_version: '3.1.1',
        connections: [['bluetooth', 'C0:FF:EE:A1:B2:C3']],
        via_device: 'hr-gateway_front-desk',
      });
  });

  test('what is not known about a strap is left out, and a simulated strap has no Bluetooth address', () => {
    const unknown = { ...STRAP, name: null, manufacturer: null, model: null, firmware: null, source: 'simulated' as const };
    for (const { config } of configs(unknown))
      assert.deepEqual(config['device'], {
        identifiers: ['front-desk_polar-h10-a1b2c3'],
        name: DEVICE,
        via_device: 'hr-gateway_front-desk',
      });
  });

  test('another name changes the name of the device, and neither topics nor ids', () => {
    const ids = (strap: StrapDescription): unknown[] =>
      configs(strap).map(({ topic: at, config }) => [at, config['unique_id'], config['default_entity_id'], config['name']]);
    assert.deepEqual(ids({ ...STRAP, name: 'Anna' }), ids(STRAP));
  });

  test('the box is a device with uplink, readings waiting, last shipped and problems, available as the service that reports it', () => {
    assert.deepEqual(
      boxConfigs().map(({ config }) => [config['unique_id'], config['state_topic'], config['device_class']]),
      [
        ['front-desk_bridge_problem', serviceStatusTopic('front-desk', 'ble-bridge'), 'problem'],
        ['front-desk_uplink', serviceStatusTopic('front-desk', 'forwarder'), undefined],
        ['front-desk_depth', serviceStatusTopic('front-desk', 'forwarder'), undefined],
        ['front-desk_last_shipped', serviceStatusTopic('front-desk', 'forwarder'), 'timestamp'],
        ['front-desk_problem', serviceStatusTopic('front-desk', 'admin-api'), 'problem'],
      ],
    );
    for (const { config } of boxConfigs())
      assert.deepEqual(config['availability'], [{ topic: config['state_topic'], value_template: SERVICE_AVAILABLE }]);
    assert.equal(new Set(boxConfigs().map(({ config }) => JSON.stringify(config['device']))).size, 1);
  });

  test('a message is published again only if something in it has changed, and all of them after a reconnect', () => {
    const sent: [string, string][] = [];
    const discovery = new HomeAssistant({ publish: (at, payload) => sent.push([at, payload]) > 0 }, () => 'box');
    const count = (): number => sent.splice(0).length;
    discovery.add('anna', STRAP);
    assert.equal(count(), 4);
    discovery.add('anna', { ...STRAP });
    assert.equal(count(), 0);
    discovery.add('anna', { ...STRAP, firmware: '4.0.0' });
    assert.equal(count(), 4);
    discovery.up();
    assert.equal(count(), 5);
  });

  test('an entity is available only while both strap and bridge are', () => {
    for (const { config } of configs()) {
      assert.equal(config['availability_mode'], 'all');
      assert.deepEqual(
        (config['availability'] as { topic: string }[]).map((item) => item.topic),
        [deviceStatusTopic(DEVICE), serviceStatusTopic('front-desk', 'ble-bridge')],
      );
    }
  });

  test('topics removed while the broker was not connected are removed when it connects', () => {
    let up = false;
    const sent: [string, string][] = [];
    const discovery = new HomeAssistant({ publish: (at, payload) => up && sent.push([at, payload]) > 0 }, () => 'box');
    discovery.add('anna', STRAP);
    discovery.remove('anna');
    discovery.add('bert', { ...STRAP, name: null });
    up = true;
    discovery.up();
    assert.deepEqual(
      sent.filter(([, payload]) => payload === '').map(([at]) => at.includes('box_anna')),
      [true, true, true, true],
    );
    assert.equal(sent.filter(([at, payload]) => at.includes('box_bert') && payload !== '').length, 4);
  });
});

const root = fileURLToPath(new URL('../../..', import.meta.url));
const PASSWORD = 'a password of its own';

/** Adds the user of docs/mqtt.md to a running gateway, with the command printed there. */
async function addDocumentedUser(dataDir: string): Promise<void> {
  const command = /npm run users -- (add home-assistant .*)/.exec(readFileSync(`${root}/docs/mqtt.md`, 'utf8'))?.[1] ?? '';
  const args = command.split(' ').map((word) => word.replaceAll("'", ''));
  const { code, stderr } = await runCli(['users', ...args], { input: PASSWORD, environment: { DATA_DIR: dataDir } });
  assert.equal(code, 0, stderr);
}

/** Renders templates with Home Assistant's engine and its `value_json`; undefined without Python. */
async function rendered(cases: { template: string; payload: string }[]): Promise<string[] | undefined> {
  const python = await pythonWith('jinja', ['jinja2==3.1.6']);
  if (python === undefined) {
    assert.notEqual(process.env['CI'], 'true', 'no Python with Jinja in CI');
    console.log('skipping the rendering of templates: no Python');
    return undefined;
  }
  const script = `import json, sys, jinja2
print(json.dumps([
  jinja2.Template(c["template"]).render(value_json=json.loads(c["payload"])) for c in json.load(sys.stdin)
]))`;
  const { stdout, stderr, status } = spawnSync(python, ['-c', script], { input: JSON.stringify(cases), encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout) as string[];
}

test('with the rights in docs/mqtt.md Home Assistant discovers each strap, and its templates render real messages', async (t) => {
  const config = testConfig({ DATA_DIR: tempDir(t), BLE_SOURCE: 'simulated', SIMULATED_STRAPS: '2' });
  const log = testLog(config);
  const gateway = new GatewayService({ config, log });
  t.after(() => gateway.stop());
  await gateway.start();
  await addDocumentedUser(config.DATA_DIR);
  const url = `mqtt://127.0.0.1:${gateway.mqttPort}`;
  const bridge = new BleBridgeService({ config: { ...config, MQTT_URL: url }, log });
  t.after(() => bridge.stop());
  await bridge.start();
  const client = await connectAsync(url, {
    username: 'home-assistant',
    password: PASSWORD,
    protocolVersion: 4,
    reconnectPeriod: 0,
    will: { topic: 'homeassistant/status', payload: Buffer.from('offline'), qos: 0, retain: false },
  });
  t.after(() => client.end(true));
  const received = new Map<string, string>();
  client.on('message', (at, payload) => received.set(at, payload.toString()));
  const granted = await client.subscribeAsync([
    'homeassistant/+/+/config',
    'homeassistant/+/+/+/config',
    'hr/+/bpm',
    'hr/+/status',
    serviceStatusTopic('test-box', 'ble-bridge'),
  ]);
  assert.deepEqual(
    granted.map(({ qos }) => qos),
    [0, 0, 0, 0, 0],
  );
  await client.publishAsync('homeassistant/status', 'online');

  const found = await eventually(
    () => {
      const all = [...received]
        .filter(([at]) => /^homeassistant\/\w+\/test-box_/.test(at))
        .map(([at, payload]) => [at, JSON.parse(payload) as Config] as const);
      return all.length === 8 &&
        all.every(([, entity]) => received.has(String(entity['state_topic']))) &&
        received.has(serviceStatusTopic('test-box', 'ble-bridge')) &&
        [...received].filter(([at, payload]) => at.endsWith('/status') && payload.includes('"streaming"')).length === 2
        ? all
        : undefined;
    },
    { what: 'two straps with four entities each, and their messages' },
  );
  const cases = found.flatMap(([at, entity]) => [
    { at, key: 'value', template: String(entity['value_template']), payload: received.get(String(entity['state_topic'])) ?? '' },
    ...(entity['availability'] as { topic: string; value_template: string }[]).map((item) => ({
      at,
      key: 'availability',
      template: item.value_template,
      payload: received.get(item.topic) ?? '',
    })),
  ]);
  // A strap without contact detection, and one that lost contact.
  const contact = found.find(([at]) => at.endsWith('/contact/config'))?.[1]['value_template'];
  const more = [null, true, false].map((value) => ({
    at: 'contact',
    key: String(value),
    template: String(contact),
    payload: JSON.stringify({ sensor_contact: value }),
  }));
  const texts = await rendered([...cases, ...more]);
  for (const [index, { at, key }] of [...cases, ...more].entries()) {
    const text = texts?.[index];
    if (text === undefined) break;
    if (key === 'availability') assert.equal(text, 'online', at);
    else if (at === 'contact') assert.equal(text, { null: 'None', true: 'ON', false: 'OFF' }[key]);
    else if (at.startsWith('homeassistant/binary_sensor/')) assert.match(text, /^(ON|OFF|None)$/, at);
    else assert.match(text, /^-?\d+$/, `${at}: ${text}`);
  }
  assert.ok(client.connected, 'the broker kept the connection');
});
