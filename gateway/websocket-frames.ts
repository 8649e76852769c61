/**
 * Counts WebSocket frames before ws parses them: a million of them a second keeps the event loop busy, however few bytes they carry. Of
 * those that carry no data (ping, pong, and empty messages) nothing reaches the stream that MQTT is read from; MQTT needs none of them, and
 * a flood of them ends the connection. All others count as bytes of their client.
 */
import type { Socket } from 'node:net';
import { Rate } from './budgets/rate.ts';
import { EMPTY_FRAMES_AT_ONCE, EMPTY_FRAMES_PER_SECOND } from './client-limits.ts';

/** Bytes of a longer length, by the length that announces it. */
const EXTENDED_BYTES: ReadonlyMap<number, number> = new Map([
  [126, 2],
  [127, 8],
]);

/** Frames that are handed over at once: a client that may send no more at the moment is not read beyond them. */
const FRAMES_AT_ONCE = 100;

export interface FollowedFrames {
  /** Up to here the chunk was followed. */
  bytes: number;
  /** Frames that begin in it. */
  frames: number;
  /** Of them, those without data. The parts of a message are no such frames: ws bounds their number. */
  empty: number;
}

/** Follows the headers of frames (RFC 6455 section 5.2) in what arrives. */
export class FrameScanner {
  /** The header that is not complete. */
  readonly #header = Buffer.alloc(14);
  #headerBytes = 0;
  /** Payload that is still to arrive. */
  #skip = 0;

  /** Follows a chunk to its end, or through so many frames. */
  follow(chunk: Buffer, framesMax: number): FollowedFrames {
    const header = this.#header;
    let frames = 0;
    let empty = 0;
    let at = 0;
    while (at < chunk.length && (frames < framesMax || this.#skip > 0)) {
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
      frames += 1;
      const opcode = (header[0] ?? 0) & 0x0f;
      if (opcode >= 8 || (this.#skip === 0 && opcode !== 0)) empty += 1;
    }
    return { bytes: at, frames, empty };
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

export interface FrameWatchers {
  /** So many frames are handed over next. False: these are too many. */
  onFrames: (count: number) => boolean;
  /** The client sends more frames than any needs: nothing of it is handed over any more. */
  onFlood: () => void;
}

/** Counts the frames of a connection from now on. Call it when ws has taken the socket over. */
export function watchFrames(socket: Socket, { onFrames, onFlood }: FrameWatchers): void {
  const rate = new Rate(EMPTY_FRAMES_PER_SECOND, EMPTY_FRAMES_AT_ONCE, performance.now());
  const scanner = new FrameScanner();
  const listeners = socket.listeners('data');
  const isWithin = (empty: number, frames: number): boolean => {
    if (empty > 0 && rate.credit(performance.now()) < empty) return false;
    rate.take(empty);
    return onFrames(frames);
  };
  socket.removeAllListeners('data');
  socket.on('data', (chunk: Buffer) => {
    for (let rest = chunk; rest.length > 0;) {
      const { bytes, frames, empty } = scanner.follow(rest, FRAMES_AT_ONCE);
      if (!isWithin(empty, frames)) {
        socket.removeAllListeners('data');
        return onFlood();
      }
      for (const listener of listeners) Reflect.apply(listener, socket, [rest.subarray(0, bytes)]);
      rest = rest.subarray(bytes);
      // ws reads no more until its client may send again.
      if (rest.length > 0 && socket.isPaused()) return socket.unshift(rest);
    }
  });
}
