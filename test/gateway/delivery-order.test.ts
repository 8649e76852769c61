import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connectAsync } from 'mqtt';
import { GatewayService } from '../../gateway/service.ts';
import { readOrCreateSecret } from '../../service/storage/data-dir.ts';
import { eventually } from '../support/eventually.ts';
import { tempDir } from '../support/temp-dir.ts';
import { testConfig, testLog } from '../support/test-config.ts';

/** Aedes awaits its persistence for some of these, and would discard what was overtaken meanwhile (gateway/ordered-persistence.ts). */
test('retained, QoS 1 and QoS 0 messages all reach a subscriber, in the order in which they were published', async (t) => {
  const config = testConfig({ DATA_DIR: tempDir(t), MQTT_LISTEN_PORT: '0', MQTT_LISTEN_WS_PORT: '0' });
  const gateway = new GatewayService({ config, log: testLog(config), onFatal: (error) => assert.fail(String(error)) });
  await gateway.start();
  t.after(() => gateway.stop());
  const url = `mqtt://127.0.0.1:${gateway.mqttPort}`;
  const subscriber = await connectAsync(url, { protocolVersion: 4 });
  t.after(() => subscriber.endAsync(true));
  const heard: string[] = [];
  subscriber.on('message', (_topic, payload) => heard.push(payload.toString()));
  await subscriber.subscribeAsync(['hr/+/status', 'hr/+/bpm', 'hr/+/gap'], { qos: 1 });
  const publisher = await connectAsync(url, {
    protocolVersion: 4,
    username: 'ble-bridge',
    password: readOrCreateSecret(config, 'ble-bridge'),
  });
  t.after(() => publisher.endAsync(true));
  const sent: string[] = [];
  for (let round = 0; round < 50; round += 1)
    for (const [topic, options] of [
      ['status', { retain: true }],
      ['bpm', {}],
      ['gap', { qos: 1 }],
      ['bpm', {}],
    ] as const) {
      sent.push(`${round} ${topic} ${sent.length}`);
      publisher.publish(`hr/anna/${topic}`, sent.at(-1) ?? '', options);
    }
  await eventually(() => heard.length === sent.length, { withinMs: 5000, what: 'every message' });
  // The order between QoS levels of one connection is not promised by MQTT; within a topic it is.
  for (const topic of ['status', 'bpm', 'gap'])
    assert.deepEqual(
      heard.filter((text) => text.includes(topic)),
      sent.filter((text) => text.includes(topic)),
    );
});
