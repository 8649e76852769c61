/**
 * WebSocket frames that carry no data: ping, pong, and empty messages. Nothing of them reaches the stream that MQTT is read from, so the
 * budgets of the client do not count them, and a million of them a second keeps the event loop busy. MQTT needs none of them.
 */
import type { Socket } from 'node:net';
import { Rate } from './budgets/rate.ts';
import { EMPTY_FRAMES_AT_ONCE, EMPTY_FRAMES_PER_SECOND } from './client-limits.ts';

/** Bytes of a longer length, by the length that announces it. */
const EXTENDED_BYTES: ReadonlyMap<number, number> = new Map([
  [126, 2],
  [127, 8],
]);

/** Follows the headers of frames (RFC 6455 section 5.2) in what arrives. */
export class FrameScanner {
  /** The header that is not complete. */
  readonly #header = Buffer.alloc(14);
  #headerBytes = 0;
  /** Payload that is still to arrive. */
  #skip = 0;

  /** How many frames without data begin in this chunk. The parts of a message are no such frames: ws bounds their number. */
  count(chunk: Buffer): number {
    const header = this.#header;
    let found = 0;
    for (let at = 0; at < chunk.length;) {
      if (this.#skip > 0) {
        const skipped = Math.min(this.#skip, chunk.length - at);
        this.#skip -= skipped;
        at += skipped;
        continue;
      }
      header[this.#headerBytes] = chunk[at] ?? 0;
      this.#headerBytes += 1;
      at += 1;
      if (this.#headerBytes < 2 || this.#headerBytes < this.#headerSize()) continue;
      this.#headerBytes = 0;
      this.#skip = this.#payloadBytes();
      const opcode = (header[0] ?? 0) & 0x0f;
      if (opcode >= 8 || (this.#skip === 0 && opcode !== 0)) found += 1;
    }
    return found;
  }

  /** Of a header whose first two bytes are there: bytes of a longer length, and of the mask. */
  #headerSize(): number {
    const second = this.#header[1] ?? 0;
    const length = second & 0x7f;
    const longer = EXTENDED_BYTES.get(length) ?? 0;
    return 2 + longer + (second >= 0x80 ? 4 : 0);
  }

  #payloadBytes(): number {
    const length = (this.#header[1] ?? 0) & 0x7f;
    if (length < 126) return length;
    return length === 126 ? this.#header.readUInt16BE(2) : Number(this.#header.readBigUInt64BE(2));
  }
}

/**
 * Calls `onFlood` once, when a client sends more of them than any needs, before ws has parsed them. Call it when ws has taken the socket
 * over: what floods is not handed to it.
 */
export function watchEmptyFrames(socket: Socket, onFlood: () => void): void {
  const rate = new Rate(EMPTY_FRAMES_PER_SECOND, EMPTY_FRAMES_AT_ONCE, performance.now());
  const scanner = new FrameScanner();
  const listeners = socket.listeners('data');
  socket.removeAllListeners('data');
  socket.on('data', (chunk: Buffer) => {
    const found = scanner.count(chunk);
    if (found > 0) {
      if (rate.credit(performance.now()) < found) {
        socket.removeAllListeners('data');
        return onFlood();
      }
      rate.take(found);
    }
    for (const listener of listeners) Reflect.apply(listener, socket, [chunk]);
  });
}
