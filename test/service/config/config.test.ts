import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bridgeEnvironment, childEnvironment, effectiveSettings, readConfig } from '../../../service/config/config.ts';
import { HrError } from '../../../service/errors/errors.ts';
import { PREFIXES, SETTINGS, type Setting } from '../../../service/config/settings.ts';

function faultsOf(environment: Record<string, string>): string[] {
  try {
    readConfig(environment);
  } catch (error) {
    assert.ok(error instanceof HrError);
    assert.equal(error.code, 'config_invalid');
    return error.detail.split('; ');
  }
  return [];
}

test('an empty environment gives a complete config, with the defaults that other software relies on', () => {
  const config = readConfig({});
  assert.equal(config.MQTT_LISTEN_PORT, 1883);
  assert.equal(config.MQTT_LISTEN_WS_PORT, 9001);
  assert.equal(config.ADMIN_PORT, 8080);
  assert.equal(config.LOCAL_KINESIS_PORT, 4567);
  assert.equal(config.KINESIS_TARGET, 'local');
  assert.equal(config.KINESIS_STREAM, 'hr-data-stream');
  assert.equal(config.QUEUE_COMMIT_INTERVAL_MS, 100);
  assert.equal(config.QUEUE_MAX_BYTES, 1024 ** 3);
  assert.equal(config.OUTBOX_WINDOW, 2000);
  assert.equal(config.OUTBOX_MEMORY, 10_000);
  assert.equal(config.OUTBOX_MAX_BYTES, 256 * 1024 ** 2);
  assert.equal(config.GATEWAY_NAME, undefined);
  assert.ok(Object.isFrozen(config));
});

test('all faults are reported at once, each with the name, what the value must be, and what was given', () => {
  const faults = faultsOf({
    MQTT_LISTEN_PORT: '99999',
    QUEUE_MAX_BYTES: 'much',
    REPLAY_LOOP: 'yes',
    BLE_SOURCE: 'radio',
    GATEWAY_NAME: 'Front Desk',
  });
  assert.equal(faults.length, 5);
  for (const [key, given] of [
    ['MQTT_LISTEN_PORT', '99999'],
    ['QUEUE_MAX_BYTES', 'much'],
    ['REPLAY_LOOP', 'yes'],
    ['BLE_SOURCE', 'radio'],
    ['GATEWAY_NAME', 'Front Desk'],
  ] as const)
    assert.ok(
      faults.some((fault) => fault.startsWith(`${key}: must `) && fault.endsWith(`(got ${given})`)),
      key,
    );
});

test('an unknown name with one of our prefixes is refused, with the nearest known name as a hint; other names are ignored', () => {
  assert.deepEqual(faultsOf({ QUEUE_COMIT_INTERVAL_MS: '5' }), [
    'unknown setting QUEUE_COMIT_INTERVAL_MS (did you mean QUEUE_COMMIT_INTERVAL_MS?)',
  ]);
  assert.deepEqual(faultsOf({ QUEUE_COLOUR_OF_THE_BOX: 'red' }), ['unknown setting QUEUE_COLOUR_OF_THE_BOX']);
  assert.deepEqual(faultsOf({ PATH: '/bin', AWS_REGION: 'eu-west-1', EDITOR: 'vi', WATCHDOG_USEC: '3000000' }), []);
});

test('every setting has one of our prefixes, a doc line, and a default within its own bounds', () => {
  for (const [name, setting] of Object.entries(SETTINGS) as [string, Setting][]) {
    assert.ok(
      PREFIXES.some((prefix) => name.startsWith(prefix)),
      name,
    );
    assert.ok(setting.doc.length > 10 && setting.doc.endsWith('.'), `${name}: ${setting.doc}`);
    assert.ok(setting.usedBy.length > 0, name);
    if (setting.default !== undefined && !Array.isArray(setting.default))
      assert.doesNotThrow(() => readConfig({ [name]: String(setting.default), REPLAY_FILE: 'x' }), name);
  }
});

test('a value at a bound is accepted, a value beyond it is not', () => {
  assert.equal(readConfig({ OUTBOX_WINDOW: '20' }).OUTBOX_WINDOW, 20);
  assert.equal(faultsOf({ OUTBOX_WINDOW: '19' }).length, 1);
  assert.equal(faultsOf({ OUTBOX_WINDOW: '20.5' }).length, 1);
});

test('an empty value counts as not set; sizes take binary units', () => {
  assert.equal(readConfig({ LOG_LEVEL: ' ' }).LOG_LEVEL, 'info');
  assert.equal(readConfig({ QUEUE_MAX_BYTES: '5MiB' }).QUEUE_MAX_BYTES, 5 * 1024 ** 2);
  assert.equal(readConfig({ QUEUE_MAX_BYTES: '2 GiB' }).QUEUE_MAX_BYTES, 2 * 1024 ** 3);
});

test('credentials in a URL are masked in the effective settings and in faults; each value states its source', () => {
  const rows = effectiveSettings({ MQTT_URL: 'mqtt://anna:hunter2@broker:1883' });
  const row = rows.find(({ name }) => name === 'MQTT_URL');
  assert.deepEqual(row, { name: 'MQTT_URL', value: 'mqtt://***@broker:1883', source: 'environment' });
  assert.equal(rows.find(({ name }) => name === 'ADMIN_PORT')?.source, 'default');
  assert.ok(!faultsOf({ MQTT_URL: 'http://anna:hunter2@broker' }).join().includes('hunter2'));
});

test("the bridge's process gets none of the forwarder's credentials, and everything else", (t) => {
  const secrets = {
    AWS_SECRET_ACCESS_KEY: 'a',
    AWS_SESSION_TOKEN: 'b',
    HTTPS_PROXY: 'http://u:p@proxy',
    https_proxy: 'http://u:p@proxy',
  };
  const before = { ...process.env };
  t.after(() => {
    process.env = before;
  });
  process.env = { ...before, ...secrets, BLE_ALLOW: 'polar*' };
  const given = bridgeEnvironment({ MQTT_URL: 'mqtt://127.0.0.1:1884' });
  for (const name of Object.keys(secrets)) {
    assert.equal(given[name], undefined, name);
    assert.notEqual(childEnvironment({})[name], undefined, name);
  }
  assert.equal(given['BLE_ALLOW'], 'polar*');
  assert.equal(given['PATH'], before['PATH']);
  assert.equal(given['MQTT_URL'], 'mqtt://127.0.0.1:1884');
});
