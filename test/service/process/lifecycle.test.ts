import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { eventually } from '../../support/eventually.ts';
import { startProduct } from '../../support/product-process.ts';
import { tempDir } from '../../support/temp-dir.ts';

// A minimal service, run by the real runService in a real process.
const fixture = 'test/service/support/fixture-service';

test('SIGTERM shuts a service down with exit code 0; while it runs its heartbeat file is touched', async (t) => {
  const folder = tempDir(t);
  const heartbeat = path.join(folder, 'heartbeat');
  const service = startProduct(t, fixture, { DATA_DIR: folder, WATCHDOG_HEARTBEAT_FILE: heartbeat });
  await service.event('started');
  await eventually(() => statSync(heartbeat).mtimeMs > 0);
  assert.equal(await service.end('SIGTERM'), 0);
  assert.ok(service.lines().some((line) => line['event'] === 'fixture_stopped'));
});

test('an uncaught error is logged with its code, the service is shut down, and the exit code is 1', async (t) => {
  const service = startProduct(t, fixture, { DATA_DIR: tempDir(t), GATEWAY_NAME: 'throws-later' });
  assert.equal(await service.ended, 1);
  assert.ok(service.lines().some((line) => line['event'] === 'uncaught_error' && line['level'] === 'fatal'));
  assert.ok(service.lines().some((line) => line['event'] === 'fixture_stopped'));
});

test('an invalid configuration ends with exit code 78 and all faults on stderr', async (t) => {
  const service = startProduct(t, fixture, { DATA_DIR: tempDir(t), LOG_LEVEL: 'loud', MQTT_LISTEN_PORT: 'x' });
  assert.equal(await service.ended, 78);
  assert.match(service.output(), /LOG_LEVEL: must be one of/);
  assert.match(service.output(), /MQTT_LISTEN_PORT: must be/);
});

test('a process whose event loop hangs is killed, and the log says why', async (t) => {
  const service = startProduct(t, fixture, { DATA_DIR: tempDir(t), GATEWAY_NAME: 'hangs-later', WATCHDOG_TIMEOUT_MS: '1500' });
  assert.equal(await service.ended, 'SIGKILL');
  assert.ok(service.lines().some((line) => line['event'] === 'watchdog'));
});
