/** The first hour of a hobbyist: starts it, looks at the page, and gives Home Assistant, a real core, a user that finds the straps. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connectAsync } from 'mqtt';
import { eventually } from '../../support/eventually.ts';
import { entity, startCore } from '../home-assistant/support/core.ts';
import { startFirstHour } from './support/first-hour.ts';

/** Of docs/mqtt.md. */
const ADD_HOME_ASSISTANT = [
  "npm run users -- add home-assistant --subscribe 'homeassistant/#' --subscribe 'hr/#'",
  "--subscribe 'edge/+/+/status' --publish homeassistant/status",
].join(' ');

test('a hobbyist sees straps on the page, and Home Assistant gets a user and shows them', async (t) => {
  const { admin, mqttPort, type, typeUntil } = await startFirstHour(t);
  assert.match(await (await fetch(admin)).text(), /<title>.*hr-gateway/s);
  await typeUntil("curl '127.0.0.1:8080/health?format=text'", /^ok$/m);
  await type(ADD_HOME_ASSISTANT, { input: 'correct horse battery' });
  const client = await connectAsync(`mqtt://127.0.0.1:${mqttPort}`, {
    username: 'home-assistant',
    password: 'correct horse battery',
    protocolVersion: 4,
  });
  t.after(() => client.end(true));
  const discovered = new Set<string>();
  client.on('message', (topic) => discovered.add(topic));
  await client.subscribeAsync('homeassistant/#');
  await eventually(() => [...discovered].filter((topic) => topic.endsWith('/config')).length >= 3, {
    withinMs: 60_000,
    what: 'discovery of three straps',
  });

  const login = { host: '127.0.0.1', port: mqttPort, user: 'home-assistant', password: 'correct horse battery' };
  const core = await startCore(t, login);
  if (core === undefined) return;
  const shown = await eventually(
    async () => {
      const all = await core.devices();
      const beating = all.filter((device) => /^\d{2,3}$/.test(entity(device, 'heart_rate')?.state ?? ''));
      return beating.length === 3 && all.length === 4 ? all : undefined;
    },
    { withinMs: 90_000, everyMs: 500, what: 'three heart rates in Home Assistant' },
  );
  const box = shown.find(({ model }) => model === 'Heart rate gateway');
  assert.equal(entity(box, 'problem')?.state, 'off');
});
