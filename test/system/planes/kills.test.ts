import { test } from 'node:test';
import { interruptAtRandom } from './support/interruptions.ts';

test('10 kills: what MQTT.js, paho and mosquitto_pub got a PUBACK for is in the stream; twice only what was in flight', async (t) => {
  await interruptAtRandom(t, { count: 10, signal: 'SIGKILL' });
});

test('an orderly restart of gateway and of forwarder loses no reading that was acknowledged', async (t) => {
  await interruptAtRandom(t, { count: 2, signal: 'SIGTERM', parts: ['gateway', 'forwarder'] });
});
