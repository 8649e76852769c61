import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WebSocket } from 'ws';
import { startGateway } from './support/gateway.ts';

async function opens(port: number, headers: Record<string, string>, protocol = 'mqtt'): Promise<boolean> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}`, protocol, { headers });
  return await new Promise((resolve) => {
    socket.on('open', () => {
      resolve(socket.protocol === 'mqtt');
      socket.terminate();
    });
    socket.on('error', () => resolve(false));
  });
}

test("a page of another site cannot reach the broker through its visitor's browser, even after DNS rebinding", async (t) => {
  const gateway = await startGateway(t, { MQTT_ALLOWED_HOSTS: 'box.local' });
  const port = gateway.ports.ws;
  const here = `127.0.0.1:${port}`;
  for (const [origin, host] of [
    ['http://evil.example', here],
    ['http://evil.example', `evil.example:${port}`],
    ['http://127.evil.example', `127.evil.example:${port}`],
    ['null', here],
    ['not a URL', here],
    ['http://localhost:8080', here],
  ] as const)
    assert.equal(await opens(port, { origin, host }), false, `${origin} ${host}`);
  assert.equal(gateway.breached('origin'), true);
  for (const [origin, host] of [
    ['http://127.0.0.1:8080', here],
    ['http://localhost:8080', `localhost:${port}`],
    ['https://box.local', `box.local:${port}`],
    ['http://[::1]:8080', `[::1]:${port}`],
  ] as const)
    assert.equal(await opens(port, { origin, host }), true, `${origin} ${host}`);
  // Only browsers send an Origin.
  assert.equal(await opens(port, {}), true);
  assert.equal(await opens(port, {}, 'chat'), false);
});
