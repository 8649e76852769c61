/** The first hour of a gym: twenty straps, an app that may read, a second box, a session as a file. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { connectAsync } from 'mqtt';
import { eventually } from '../../support/eventually.ts';
import { getJson } from '../pipeline/support/one-process.ts';
import { startFirstHour } from './support/first-hour.ts';

test('a gym starts with twenty straps, lets an app read them, adds a second box and exports a session', async (t) => {
  const { admin, folder, mqttPort, type, typeUntil } = await startFirstHour(t, { SIMULATED_STRAPS: '20', GATEWAY_NAME: 'gym-1' });
  await typeUntil("curl '127.0.0.1:8080/health?format=text'", /^ok$/m);
  await eventually(async () => (await getJson<unknown[]>(`${admin}/devices`)).length === 20, { withinMs: 90_000 });

  await type("npm run users -- add anna --subscribe 'hr/+/bpm'", { input: 'correct horse battery' });
  const app = await connectAsync(`mqtt://127.0.0.1:${mqttPort}`, {
    username: 'anna',
    password: 'correct horse battery',
    protocolVersion: 4,
  });
  t.after(() => app.end(true));
  const straps = new Set<string>();
  app.on('message', (topic) => straps.add(topic));
  await app.subscribeAsync('hr/+/bpm');
  await eventually(() => straps.size === 20, { withinMs: 60_000, what: 'the app reads all straps' });

  const settings = await type('npm run users -- add --bridge gym-2');
  assert.match(settings, /^GATEWAY_NAME=gym-2\nMQTT_BROKER=external\nMQTT_URL=mqtts:\/\/gym-2:[\w-]{43}@HOST:8883$/m);
  await type('npm run users -- remove gym-2');

  const [device = ''] = (await getJson<{ device: string }[]>(`${admin}/devices`)).map((each) => each.device);
  await typeUntil('hr-gateway export polar-h10-a1b2c3', /wrote \d+ readings/, { instead: { 'polar-h10-a1b2c3': device } });
  assert.ok(
    readdirSync(folder).some((name) => name.endsWith(`${device}.csv`)),
    'a file of the session',
  );
});
