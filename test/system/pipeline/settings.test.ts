import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parseEnv } from 'node:util';
import { Aedes } from 'aedes';
import { REMOVED_SETTINGS } from '../../../service/config/removed-settings.ts';
import { makeAuthority } from '../../support/certificates.ts';
import { eventually } from '../../support/eventually.ts';
import { startProduct, type LogLine } from '../../support/product-process.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { getJson } from './support/one-process.ts';

const data = fileURLToPath(new URL('../../data', import.meta.url));
const warnings = (lines: readonly LogLine[]): LogLine[] => lines.filter(({ level }) => level === 'warn');

test('a .env with every setting of 1.0.0 starts, with one WARN that names all removed settings', async (t) => {
  const folder = tempDir(t);
  const { caFile, certFile, keyFile } = makeAuthority(folder);
  const product = startProduct(t, 'start', {
    ...(parseEnv(readFileSync(path.join(data, 'settings-1.0.0.env'), 'utf8')) as Record<string, string>),
    // What a test machine does not have, or shares with other tests.
    DATA_DIR: folder,
    REPLAY_FILE: path.join(data, 'recordings/intervals-garmin-vivoactive-hr.csv'),
    WATCHDOG_HEARTBEAT_FILE: path.join(folder, 'heartbeat'),
    MQTT_URL: '',
    KINESIS_TARGET: 'local',
    MQTT_TLS_CA_FILE: caFile,
    MQTT_TLS_CERT_FILE: certFile,
    MQTT_TLS_KEY_FILE: keyFile,
    ADMIN_TLS_CERT_FILE: certFile,
    ADMIN_TLS_KEY_FILE: keyFile,
    MQTT_LISTEN_PORT: '0',
    MQTT_LISTEN_WS_PORT: '0',
    MQTT_TLS_LISTEN_PORT: '0',
    MQTT_TLS_LISTEN_WS_PORT: '0',
    ADMIN_PORT: '0',
    LOCAL_KINESIS_PORT: '0',
  });
  await product.event('started');
  const [warning, ...others] = warnings(product.lines());
  assert.deepEqual(others, []);
  assert.equal(warning?.['event'], 'setting_removed');
  for (const name of Object.keys(REMOVED_SETTINGS)) assert.ok(String(warning['msg']).includes(name), name);
  assert.equal(await product.end(), 0, product.output());
});

test('beside an anonymous broker on loopback npm start runs no gateway, and health is ok without one', async (t) => {
  const aedes = await Aedes.createBroker();
  const server = createServer(aedes.handle);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(async () => {
    await new Promise<void>((resolve) => aedes.close(() => server.close(() => resolve())));
  });
  const { port } = server.address() as AddressInfo;
  for (const [environment, expected] of [
    [{ MQTT_BROKER: 'external' }, []],
    [{}, ['broker_assumed']],
  ] as const) {
    const product = startProduct(t, 'start', {
      ...environment,
      DATA_DIR: tempDir(t),
      MQTT_URL: `mqtt://127.0.0.1:${port}`,
      ADMIN_PORT: '0',
      LOCAL_KINESIS_PORT: '0',
      BLE_SOURCE: 'simulated',
    });
    await product.event('started');
    assert.deepEqual(
      warnings(product.lines()).map(({ event }) => event),
      expected,
    );
    const page = /page\s+(http:\/\/\S+?)\/?\s/.exec(product.output())?.[1] ?? '';
    const health = await eventually(
      async () => {
        const answer = await getJson<{ status: string; checks: { name: string }[] }>(`${page}/health`);
        if (answer.status !== 'ok') throw new Error(JSON.stringify(answer.checks));
        return answer;
      },
      { withinMs: 60_000, what: 'health is ok' },
    );
    assert.ok(health.checks.some(({ name }) => name === 'forwarder'));
    assert.ok(!health.checks.some(({ name }) => name === 'gateway'));
    assert.equal(await product.end(), 0, product.output());
  }
});
