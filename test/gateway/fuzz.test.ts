import { test } from 'node:test';
import { runFuzz } from './support/fuzz.ts';

test('malformed MQTT, WebSocket and HTTP input stops nothing, needs bounded memory, and delays nobody permanently', async (t) => {
  await runFuzz(t, 1 + Math.floor(Math.random() * 1_000_000), { mqttPackets: 5000, webSocketFrames: 1500, httpRequests: 1000 });
});
