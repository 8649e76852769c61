import { test } from 'node:test';
import { runFuzz } from './support/fuzz.ts';

test('rubbish over MQTT, WebSocket and HTTP stops nothing, costs a bounded memory, and delays no one for good', async (t) => {
  await runFuzz(t, 1 + Math.floor(Math.random() * 1_000_000), { mqttPackets: 5000, webSocketFrames: 1500, httpRequests: 1000 });
});
