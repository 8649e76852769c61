import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Aedes } from 'aedes';
import { GatewayService } from '../../gateway/service.ts';
import { useDeliveryQueue } from '../../gateway/delivery-queue.ts';
import { MqttLink } from '../../service/mqtt/mqtt-link.ts';
import { eventually } from '../support/eventually.ts';
import { tempDir } from '../support/temp-dir.ts';
import { testConfig, testLog } from '../support/test-config.ts';

/** Far more than Aedes delivers at once, and than V8 shifts cheaply. */
const MESSAGES = 40_000;

test('the emitter of the installed Aedes uses our queue; an unknown emitter is not changed', async (t) => {
  const aedes = await Aedes.createBroker();
  t.after(async () => await new Promise<void>((resolve) => aedes.close(() => resolve())));
  assert.equal(useDeliveryQueue(aedes), true);
  assert.equal(useDeliveryQueue(aedes), false, 'it is no array any more');
});

test('tens of thousands of messages waiting in the broker are delivered once each, in order', async (t) => {
  const config = testConfig({ DATA_DIR: tempDir(t) });
  const gateway = new GatewayService({ config, log: testLog(config) });
  await gateway.start();
  t.after(() => gateway.stop());
  const own = { ...config, MQTT_URL: `mqtt://127.0.0.1:${gateway.mqttPort}` };
  const heard: number[] = [];
  const reader = new MqttLink({
    service: 'forwarder',
    config: own,
    log: testLog(config),
    subscriptions: { 'hr/+/bpm': (_, payload) => void heard.push(Number(payload)) },
  });
  const writer = new MqttLink({ service: 'ble-bridge', config: own, log: testLog(config), subscriptions: {} });
  for (const link of [reader, writer]) {
    link.start();
    t.after(() => link.stop());
    await eventually(() => link.connected);
  }
  for (let sent = 0; sent < MESSAGES; sent += 1) writer.publish('hr/strap/bpm', String(sent));
  await eventually(() => heard.length >= MESSAGES, { withinMs: 60_000 });
  assert.deepEqual(
    heard,
    Array.from({ length: MESSAGES }, (_, index) => index),
  );
});
