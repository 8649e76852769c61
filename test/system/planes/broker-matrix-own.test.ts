import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { SERVICE_NAMES } from '../../../contract/topics.ts';
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

test('our broker with MQTT_MAX_PACKET_BYTES of 4 KiB ends the bridge twice at most, then takes every reading', async (t) => {
  const port = await freePort();
  const environment = { MQTT_LISTEN_PORT: String(port), MQTT_BROKER: 'own', MQTT_MAX_PACKET_BYTES: '4096' };
  const box = await StrapBox.make(t, { name: NAME, mqttUrl: `mqtt://127.0.0.1:${port}`, everyMs: 5, environment });
  const gateway = await box.start('gateway');
  await box.start('ble-bridge');
  await sleep(HOLD_MS);
  await box.start('forwarder');
  await eventually(async () => (await box.stream.readAll()).length > 600, { everyMs: 250, what: '600 readings in the stream' });
  assert.equal(gateway.breaches['packet_bytes'], 2);
});
