/** The first hour of a clinic: nothing may be missing, nothing may leak, and everything must come back. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startOneProcess } from '../pipeline/support/one-process.ts';
import { startFirstHour } from './support/first-hour.ts';

test('a clinic proves that nothing is missing, replaces the token, backs up, restores and prints rights for its broker', async (t) => {
  const { box, dataDir, type, typeUntil } = await startFirstHour(t, { GATEWAY_NAME: 'ward-3' });
  await typeUntil('npm run verify', /^OK: [1-9]/m);
  const before = await type('npm run token');
  assert.notEqual(await type('hr-gateway token --rotate'), before);
  assert.match(await type('npm run config'), /^GATEWAY_NAME +ward-3 {2}\[environment\]$/m);
  const rights = await type('npm run acl mosquitto');
  assert.match(rights, /^user ward-3$/m);
  const { file } = JSON.parse(await type('npm run backup')) as { file: string };
  assert.match(await type('npm run restore -- FILE', { instead: { FILE: file }, code: 1 }), /^box_running: /m);
  assert.equal(await box.end(), 0);
  assert.ok((await type('npm run restore -- --list')).includes(file), 'the backup is listed');
  assert.match(await type('npm run restore -- FILE', { instead: { FILE: file } }), /restored \d+ queued readings/);
  const again = startOneProcess(t, dataDir, { BLE_SOURCE: 'simulated', MQTT_SERVICES_PORT: '0', GATEWAY_NAME: 'ward-3' });
  await again.addresses();
  await typeUntil('npm run verify', /^OK: [1-9]/m);
});
