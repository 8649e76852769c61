/**
 * Home Assistant with a Mosquitto that it already had, step by step as docs/mqtt.md says: a real core is connected to a real Mosquitto
 * before the box comes, and is not touched afterwards.
 */
import assert from 'node:assert/strict';
import { appendFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { operatorToken } from '../../../service/storage/data-dir.ts';
import { runCli } from '../../cli/support/run-cli.ts';
import { hasMosquitto, MOSQUITTO_MISSING, startMosquitto } from '../../support/brokers/mosquitto.ts';
import { cannotRun } from '../../support/cannot-run.ts';
import { eventually } from '../../support/eventually.ts';
import { readSource } from '../../support/source-tree.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { testConfig } from '../../support/test-config.ts';
import { startOneProcess } from '../pipeline/support/one-process.ts';
import { entity, startCore } from './support/core.ts';

const PASSWORD = 'living-room-lamp';
const STRAP = 'front-desk_simulated-rest-000000';
const chapter = readSource('docs/mqtt.md').split('### Home Assistant with your own Mosquitto\n')[1]?.split('\n## ')[0] ?? '';

/** The box of the recipe with the settings that were printed, in the form of a settings file. */
function settingsOf(printed: string, broker: string): Record<string, string> {
  const pairs = [...printed.matchAll(/^# ([A-Z_]+)=(.*)$/gm)].map(([, name = '', value = '']) => [
    name,
    value.replace('BROKER:1883', broker),
  ]);
  return Object.fromEntries(pairs) as Record<string, string>;
}

test('who has Mosquitto for Home Assistant follows the steps, and sees straps, names and the box', async (t) => {
  if (!hasMosquitto()) return cannotRun(t, MOSQUITTO_MISSING);
  const folder = tempDir(t);
  // What was there before: Home Assistant and a lamp, on a Mosquitto with users and rights.
  const mosquitto = await startMosquitto(t, {
    folder,
    passwords: { 'home-assistant': PASSWORD, lamp: 'lamp' },
    acl: 'user lamp\ntopic readwrite lamp/#\n\nuser home-assistant\ntopic readwrite lamp/#\n',
  });
  const core = await startCore(t, { host: '127.0.0.1', port: mosquitto.port, user: 'home-assistant', password: PASSWORD });
  if (core === undefined) return;
  assert.deepEqual(await core.devices(), []);

  // 1. Name the box, and print what Mosquitto needs.
  assert.match(chapter, /`GATEWAY_NAME`.*`front-desk`.*`npm run acl mosquitto`/);
  const dataDir = path.join(folder, 'data');
  const named = { DATA_DIR: dataDir, GATEWAY_NAME: 'front-desk' };
  const { stdout } = await runCli(['acl', 'mosquitto'], { environment: named });
  const [, passwords = '', acl = '', settings = ''] = stdout.split(/^# --- .*\n/m);
  // 2. Append the lines to both files.
  appendFileSync(path.join(folder, 'passwords'), passwords);
  appendFileSync(path.join(folder, 'acl'), acl);
  // 3. Make Mosquitto read them again.
  assert.match(chapter, /SIGHUP/);
  mosquitto.signal('SIGHUP');
  // 4. The settings, and a start.
  const broker = `127.0.0.1:${mosquitto.port}`;
  const box = startOneProcess(t, dataDir, {
    ...named,
    ...settingsOf(settings, broker),
    BLE_SOURCE: 'simulated',
    SIMULATED_STRAPS: '1',
  });
  const admin = await eventually(() => /page\s+(http:\/\/\S+?)\/?\s/.exec(box.output())?.[1], {
    withinMs: 60_000,
    what: 'the page',
  });

  // 5. Straps and box appear.
  await eventually(async () => /^\d{2,3}$/.test(entity(await core.device(STRAP), 'heart_rate')?.state ?? '') || undefined, {
    withinMs: 90_000,
    everyMs: 500,
    what: `the strap in Home Assistant: ${box.output().slice(-2000)}`,
  });
  await eventually(
    async () => {
      const device = await core.device('hr-gateway_front-desk');
      return entity(device, 'problem')?.state === 'off' && entity(device, 'uplink')?.state === 'ok';
    },
    { withinMs: 60_000, everyMs: 500, what: 'the box without a problem' },
  );
  const answer = await fetch(`${admin}/devices/simulated-rest-000000/rename`, {
    method: 'POST',
    headers: { authorization: `Bearer ${operatorToken(testConfig({ DATA_DIR: dataDir }))}`, 'content-type': 'application/json' },
    body: JSON.stringify({ name: 'Anna' }),
  });
  assert.equal(answer.status, 200);
  await eventually(async () => (await core.device(STRAP))?.name === 'Anna', { withinMs: 30_000, everyMs: 300, what: 'the name' });
  const health = await fetch(`${admin}/health?format=text`);
  assert.match(await health.text(), /^ok$/m);
  assert.equal(await box.end(), 0);
  await eventually(async () => entity(await core.device(STRAP), 'heart_rate')?.state === 'unavailable', {
    withinMs: 30_000,
    everyMs: 300,
    what: 'a strap that is unavailable without its box',
  });
  assert.doesNotMatch(core.stderr, /(ERROR|WARNING):homeassistant\.(helpers\.template|components\.mqtt)/);
});
