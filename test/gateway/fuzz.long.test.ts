import { test } from 'node:test';
import { runFuzz } from './support/fuzz.ts';

for (const seed of [1, 2, 3])
  test(`a hundred thousand malformed MQTT packets, WebSocket frames and HTTP requests, seed ${seed}`, async (t) => {
    await runFuzz(t, seed, { mqttPackets: 100_000, webSocketFrames: 30_000, httpRequests: 30_000 });
  });
