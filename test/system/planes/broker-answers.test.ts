/** Health of a box on another broker names that broker and its answer, and never asks to start a gateway that there is not. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { hasMosquitto, MOSQUITTO_MISSING, startMosquitto } from '../../support/brokers/mosquitto.ts';
import { cannotRun } from '../../support/cannot-run.ts';
import { eventually } from '../../support/eventually.ts';
import { freePort } from '../../support/free-port.ts';
import { StrapBox } from './support/strap-box.ts';

const NAMED_WITHIN_MS = 15_000;

async function brokerCheck(t: TestContext, mqttUrl: string, code: string): Promise<string> {
  const box = await StrapBox.make(t, { name: 'front-desk', mqttUrl, environment: { MQTT_BROKER: 'external' } });
  await box.start('admin-api');
  const check = await eventually(async () => await box.failing(code), {
    withinMs: NAMED_WITHIN_MS,
    what: `a check that names ${code}`,
  });
  const text = JSON.stringify(check);
  assert.ok(text.includes(new URL(mqttUrl).host), text);
  assert.doesNotMatch(text, /start the gateway|secret/i);
  return text;
}

test('a broker that refuses the credentials is named with its answer', async (t) => {
  if (!hasMosquitto()) return cannotRun(t, MOSQUITTO_MISSING);
  const broker = await startMosquitto(t, { passwords: { box: 'right' }, acl: 'user box\ntopic readwrite #\n' });
  assert.match(await brokerCheck(t, broker.url('box', 'secret'), 'broker_refused'), /Not authorized/i);
});

test('a broker that cannot be reached is named', async (t) => {
  await brokerCheck(t, `mqtt://box:secret@127.0.0.1:${await freePort()}`, 'broker_unreachable');
});
