/**
 * WebSocket frames that carry no data: ping, pong, and empty messages. Nothing of them reaches the stream that MQTT is read from, so the
 * budgets of the client do not count them, and a million of them a second keeps the event loop busy. MQTT needs none of them.
 */
import type { WebSocket } from 'ws';
import { Rate } from './budgets/rate.ts';
import { EMPTY_FRAMES_AT_ONCE, EMPTY_FRAMES_PER_SECOND } from './client-limits.ts';

/** Calls `onFlood` once, when a client sends more of them than any needs. */
export function watchEmptyFrames(socket: WebSocket, onFlood: () => void): void {
  const rate = new Rate(EMPTY_FRAMES_PER_SECOND, EMPTY_FRAMES_AT_ONCE, performance.now());
  let isFlooded = false;
  const count = (): void => {
    if (isFlooded) return;
    if (rate.credit(performance.now()) >= 1) return rate.take(1);
    isFlooded = true;
    onFlood();
  };
  socket.on('ping', count);
  socket.on('pong', count);
  socket.on('message', (data) => {
    if (Buffer.isBuffer(data) && data.length === 0) count();
  });
}
