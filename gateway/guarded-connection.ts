/**
 * What stands between a socket and Aedes: a packet that announces more than the limit ends the connection before anything of it is
 * buffered (Aedes has no limit of its own, facts.md), and writes of one turn of the event loop leave in one system call.
 */
import { Duplex } from 'node:stream';
import type { Peer } from './access.ts';

export interface GuardedConnectionOptions {
  peer: Peer;
  maxPacketBytes: number;
  /** Called once, before the connection is destroyed. */
  onTooLarge: (announcedBytes: number) => void;
}

/** Follows the framing of MQTT (section 2.2.3) through chunks of any size. */
class FrameWatch {
  #left = 0;
  #lengthBytes = -1;
  #length = 0;

  /** The length that a packet in this chunk announces, where it is over the limit. */
  push(chunk: Buffer, maxBytes: number): number | undefined {
    let at = 0;
    while (at < chunk.length) {
      if (this.#left > 0) {
        const step = Math.min(this.#left, chunk.length - at);
        this.#left -= step;
        at += step;
        continue;
      }
      const byte = chunk[at] ?? 0;
      at += 1;
      if (this.#lengthBytes < 0) {
        this.#lengthBytes = 0;
        this.#length = 0;
        continue;
      }
      this.#length += (byte & 0x7f) * 128 ** this.#lengthBytes;
      this.#lengthBytes += 1;
      if (this.#length > maxBytes || (this.#lengthBytes >= 4 && byte >= 0x80)) return this.#length;
      if (byte < 0x80) {
        this.#left = this.#length;
        this.#lengthBytes = -1;
      }
    }
    return undefined;
  }
}

/** What the system and the stream below may hold before writes wait here. */
const INNER_BACKLOG_BYTES = 64 * 1024;

/** How long the last words to a client may take to leave. */
const LAST_WORDS_MS = 1000;

/** The connection that Aedes is given. */
export class GuardedConnection extends Duplex {
  readonly #inner: Duplex;
  readonly #options: GuardedConnectionOptions;
  readonly #watch = new FrameWatch();
  #corked = false;
  #hold: NodeJS.Timeout | undefined;

  constructor(inner: Duplex, options: GuardedConnectionOptions) {
    super({ allowHalfOpen: false, readableHighWaterMark: 64 * 1024, writableHighWaterMark: 256 * 1024 });
    this.#inner = inner;
    this.#options = options;
    inner.on('data', (chunk: Buffer) => {
      const announced = this.#watch.push(chunk, options.maxPacketBytes);
      if (announced !== undefined) {
        options.onTooLarge(announced);
        this.destroy();
        return;
      }
      if (!this.push(chunk)) inner.pause();
    });
    inner.on('end', () => this.push(null));
    inner.on('error', (error) => this.destroy(error));
    inner.on('close', () => this.destroy());
  }

  get peer(): Peer {
    return this.#options.peer;
  }

  /** Bytes that wait for the client to read them. */
  get backlogBytes(): number {
    return this.writableLength + this.#inner.writableLength;
  }

  /** Reads nothing more from the client for a while: TCP makes it wait. */
  hold(forMs: number): void {
    if (this.#hold !== undefined || this.destroyed) return;
    this.#inner.pause();
    this.#hold = setTimeout(() => {
      this.#hold = undefined;
      this.#inner.resume();
    }, forMs);
  }

  override _read(): void {
    if (this.#hold === undefined) this.#inner.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    if (!this.#corked) {
      this.#corked = true;
      this.#inner.cork();
      setImmediate(() => {
        this.#corked = false;
        this.#inner.uncork();
      });
    }
    const backlog = this.#inner.writableLength;
    if (this.#inner.write(chunk) || backlog < INNER_BACKLOG_BYTES) callback();
    else {
      const done = (): void => {
        this.#inner.off('drain', done);
        this.#inner.off('close', done);
        callback();
      };
      this.#inner.once('drain', done);
      this.#inner.once('close', done);
    }
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#inner.end();
    callback();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    clearTimeout(this.#hold);
    const inner = this.#inner;
    if (!inner.destroyed && inner.writable && inner.writableLength < INNER_BACKLOG_BYTES) {
      // What was said last, a CONNACK that refuses above all, is still on its way down: it leaves first.
      inner.pause();
      const limit = setTimeout(() => inner.destroy(), LAST_WORDS_MS).unref();
      inner.once('close', () => clearTimeout(limit));
      inner.end(() => inner.destroy());
    } else inner.destroy();
    callback(error);
  }
}
