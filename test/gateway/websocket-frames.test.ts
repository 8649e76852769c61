/** WebSocket frames without data are recognised however they arrive, and a flood of them ends the connection and delays nobody. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectAsync } from 'mqtt';
import { WebSocket } from 'ws';
import { FrameScanner } from '../../gateway/websocket-frames.ts';
import { eventually } from '../support/eventually.ts';
import { startGateway } from './support/gateway.ts';

const MASK = [1, 2, 3, 4];
/** The byte with the mask bit, and what follows it (RFC 6455 section 5.2). */
function lengthOf(bytes: number): number[] {
  if (bytes < 126) return [0x80 + bytes];
  if (bytes < 65_536) return [0xfe, bytes >> 8, bytes & 255];
  return [0xff, 0, 0, 0, 0, 0, bytes >> 16, (bytes >> 8) & 255, bytes & 255];
}
const frame = (opcode: number, bytes: number): Buffer =>
  Buffer.concat([Buffer.from([0x80 + opcode, ...lengthOf(bytes), ...MASK]), Buffer.alloc(bytes, 0x8a)]);

test('frames without data are counted, others are not, wherever the chunks are cut', () => {
  const all = Buffer.concat([
    frame(2, 5),
    frame(9, 0),
    frame(2, 0),
    frame(2, 300),
    frame(10, 125),
    frame(0, 0),
    frame(2, 70_000),
    frame(8, 2),
  ]);
  for (const size of [1, 2, 3, 7, 100, all.length]) {
    const scanner = new FrameScanner();
    const found = { frames: 0, empty: 0 };
    for (let at = 0; at < all.length;) {
      const { bytes, frames, empty } = scanner.follow(all.subarray(at, at + size), 3);
      assert.ok(bytes > 0 && frames <= 3, `${frames} frames in ${bytes} bytes at ${at}`);
      found.frames += frames;
      found.empty += empty;
      at += bytes;
    }
    assert.deepEqual(found, { frames: 8, empty: 4 }, `chunks of ${size} bytes`);
  }
});

test('pings now and then and MQTT over WebSocket go on; a flood of pongs ends the connection', async (t) => {
  const users = { app: { password: 'pass-word', subscribe: ['app/#'], publish: ['app/#'] } };
  const gateway = await startGateway(t, {}, users);
  const url = `ws://127.0.0.1:${gateway.ports.ws}`;
  const client = await connectAsync(url, { username: 'app', password: 'pass-word' });
  t.after(() => client.end(true));
  let received = 0;
  client.on('message', () => (received += 1));
  await client.subscribeAsync('app/#');
  for (let index = 0; index < 500; index += 1) client.publish('app/x', 'x'.repeat(index));
  await eventually(() => received === 500, { what: 'all messages' });
  const socket = new WebSocket(url, 'mqtt');
  t.after(() => socket.terminate());
  let pongs = 0;
  socket.on('pong', () => (pongs += 1));
  socket.on('error', () => {});
  await new Promise((resolve) => socket.once('open', resolve));
  for (let index = 0; index < 5; index += 1) {
    socket.ping();
    await sleep(20);
  }
  await eventually(() => pongs > 0, { what: 'a pong' });
  for (let index = 0; index < 200; index += 1) socket.pong();
  await eventually(() => socket.readyState === WebSocket.CLOSED, { what: 'the end of the connection' });
  assert.ok(gateway.breached('websocket_frames'), JSON.stringify(gateway.service.breaches));
  assert.equal(client.connected, true);
});
