/** The volume of 1.0.0, as its killed services left it, divided as `prepare-volumes` of docker-compose.yml does before the start. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { SERVICE_NAMES } from '../../../contract/topics.ts';
import { eventually } from '../../support/eventually.ts';
import { freePort } from '../../support/free-port.ts';
import { productArgs, startProduct } from '../../support/product-process.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { readAll } from './support/stream.ts';

const data = fileURLToPath(new URL('../../data/', import.meta.url));
/** As in docker-compose.yml: the volume that held everything in 1.0.0 is the forwarder's now. */
const VOLUME_OF_1 = 'forwarder';

test('services with a volume each start with the volume of 1.0.0, and every reading that was queued or spilled is shipped', async (t) => {
  const root = tempDir(t);
  for (const service of SERVICE_NAMES) mkdirSync(path.join(root, service));
  const unpacked = spawnSync('tar', ['-xzf', path.join(data, 'volume-1.0.0.tar.gz'), '-C', path.join(root, VOLUME_OF_1)]);
  assert.equal(unpacked.status, 0, String(unpacked.stderr));
  const box = readFileSync(path.join(root, VOLUME_OF_1, 'gateway-name'), 'utf8');
  const prepared = spawnSync(process.execPath, [...productArgs('cli/main'), 'prepare-volumes', root], {
    env: { PATH: process.env['PATH'] },
    encoding: 'utf8',
  });
  assert.equal(prepared.status, 0, prepared.stdout + prepared.stderr);

  const [mqtt, services, stream] = [await freePort(), await freePort(), await freePort()];
  const common = {
    MQTT_URL: `mqtt://127.0.0.1:${services}`,
    MQTT_LISTEN_PORT: String(mqtt),
    MQTT_LISTEN_WS_PORT: '0',
    MQTT_SERVICES_PORT: String(services),
    LOCAL_KINESIS_PORT: String(stream),
    BLE_SOURCE: 'simulated',
    SIMULATED_STRAPS: '1',
  };
  const start = (service: string, event: string) =>
    startProduct(t, `${service}/main`, { ...common, DATA_DIR: path.join(root, service) }).event(event, { withinMs: 60_000 });
  await start('gateway', 'listening');
  await start('local-kinesis', 'listening');
  await start('forwarder', 'mqtt_connected');
  await start('ble-bridge', 'mqtt_connected');

  const { readings } = JSON.parse(readFileSync(path.join(data, 'volume-1.0.0.json'), 'utf8')) as { readings: string[] };
  assert.ok(readings.length > 60, `only ${readings.length} readings were queued or spilled`);
  let missing: string[] = readings;
  await eventually(
    async () => {
      const present = new Set(
        (await readAll(`http://127.0.0.1:${stream}`, 'hr-data-stream')).map(({ run, seq }) => `${run} ${seq}`),
      );
      missing = readings.filter((reading) => !present.has(reading));
      return missing.length === 0;
    },
    { withinMs: 60_000, everyMs: 500, what: 'every reading in the stream' },
  ).catch((error: unknown) =>
    assert.fail(`${String(error)}: ${missing.length} of ${readings.length} are missing: ${missing.slice(0, 5).join(', ')}`),
  );
  for (const service of SERVICE_NAMES) assert.equal(readFileSync(path.join(root, service, 'gateway-name'), 'utf8'), box, service);
});
