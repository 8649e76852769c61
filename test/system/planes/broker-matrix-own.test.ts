import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectAsync } from 'mqtt';
import type { DeadLetters } from '../../../contract/dead-letter.ts';
import { SERVICE_NAMES } from '../../../contract/topics.ts';
import { newUser, writeUsers } from '../../../gateway/users.ts';
import { operatorToken } from '../../../service/storage/data-dir.ts';
import { startLimitingProxy } from '../../support/brokers/limiting-proxy.ts';
import { eventually } from '../../support/eventually.ts';
import { freePort } from '../../support/free-port.ts';
import { brokerMatrix, type Demands, type Site } from './support/broker-matrix.ts';
import { StrapBox } from './support/strap-box.ts';

const NAME = 'front-desk';
/** So long readings are held before there is a forwarder: they make packets over the limit. */
const HOLD_MS = 2500;

/** The first box runs the gateway. Further ones are given its services' keys. */
async function start(t: TestContext, demands: Demands): Promise<Site> {
  const port = await freePort();
  const isLimited = Object.keys(demands).length > 0;
  const proxy = isLimited ? await startLimitingProxy(t, port, demands) : undefined;
  const mqttUrl = `mqtt://127.0.0.1:${proxy?.port ?? port}`;
  const environment = { MQTT_LISTEN_PORT: String(port), MQTT_BROKER: 'own' };
  let first: StrapBox | undefined;
  return {
    async box({ name = NAME, everyMs } = {}) {
      const box = await StrapBox.make(t, { name, mqttUrl, environment, ...(everyMs === undefined ? {} : { everyMs }) });
      if (first === undefined) {
        first = box;
        await box.start('gateway');
      } else {
        const { DATA_DIR } = first.config;
        box.useKeys(
          new Map(SERVICE_NAMES.map((service) => [service, readFileSync(path.join(DATA_DIR, 'keys', service), 'utf8')])),
        );
      }
      return box;
    },
    async restart() {
      await first?.stop('gateway');
      await first?.start('gateway');
    },
  };
}

brokerMatrix({ name: 'our broker', start });

test('our broker with MQTT_MAX_PACKET_BYTES of 4 KiB drops what is too large a few times, then takes every reading', async (t) => {
  const port = await freePort();
  const environment = { MQTT_LISTEN_PORT: String(port), MQTT_BROKER: 'own', MQTT_MAX_PACKET_BYTES: '4096' };
  const box = await StrapBox.make(t, { name: NAME, mqttUrl: `mqtt://127.0.0.1:${port}`, everyMs: 5, environment });
  const gateway = await box.start('gateway');
  await box.start('ble-bridge');
  await sleep(HOLD_MS);
  await box.start('forwarder');
  await eventually(async () => (await box.stream.readAll()).length > 600, { everyMs: 250, what: '600 readings in the stream' });
  const dropped = gateway.breaches['packet_bytes'] ?? 0;
  assert.ok(dropped >= 1 && dropped <= 10, `${dropped} packets were dropped`);
});

test('our broker with MQTT_MAX_PACKET_BYTES of 4 KiB lists all dead letters, page by page', async (t) => {
  const port = await freePort();
  const environment = { MQTT_LISTEN_PORT: String(port), MQTT_BROKER: 'own', MQTT_MAX_PACKET_BYTES: '4096' };
  const box = await StrapBox.make(t, { name: NAME, mqttUrl: `mqtt://127.0.0.1:${port}`, environment });
  const app = { username: 'app', password: 'pass-word' };
  writeUsers(box.config, { app: await newUser(app.password, { publish: ['hr/Bike1/bpm'], subscribe: [] }) });
  const gateway = await box.start('gateway');
  for (const name of ['admin-api', 'forwarder'] as const) await box.start(name);
  const client = await connectAsync(box.config.MQTT_URL, { ...app, protocolVersion: 4, reconnectPeriod: 0 });
  t.after(() => client.end(true));
  const payloads = Array.from({ length: 120 }, (_, index) => `${index} ${'\u{1f3c3}'.repeat(900)}`);
  await Promise.all(payloads.map(async (payload) => await client.publishAsync('hr/Bike1/bpm', payload, { qos: 1 })));
  const authorization = `Bearer ${operatorToken(box.config)}`;
  const listed: string[] = [];
  let pages = 0;
  for (let before: number | null = Number.MAX_SAFE_INTEGER; before !== null; pages += 1) {
    const answer = await fetch(`${box.adminUrl}/dead-letters?limit=500&before=${before}`, { headers: { authorization } });
    const text = await answer.text();
    assert.equal(answer.status, 200, text);
    const page = JSON.parse(text) as DeadLetters;
    listed.push(...page.dead_letters.map(({ payload }) => payload));
    before = page.next_before;
  }
  assert.deepEqual(new Set(listed), new Set(payloads));
  assert.ok(pages > 1, `${pages} pages`);
  assert.equal(gateway.breaches['packet_bytes'] ?? 0, 0);
});
