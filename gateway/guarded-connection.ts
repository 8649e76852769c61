/**
 * What stands between a socket and Aedes: a packet that announces more than the limit ends the connection before anything of it is
 * buffered (Aedes has no limit of its own, facts.md), and writes of one turn of the event loop leave in one system call.
 */
import { Duplex } from 'node:stream';

export interface GuardedConnectionOptions {
  maxPacketBytes: number;
  /** Called once, before the connection is destroyed. */
  onTooLarge: (announcedBytes: number) => void;
  /** Bytes that may wait for a slow reader before its connection is ended. */
  maxBacklogBytes: number;
  onBacklog: (bytes: number) => void;
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

/** The connection that Aedes is given. */
export class GuardedConnection extends Duplex {
  readonly #inner: Duplex;
  readonly #options: GuardedConnectionOptions;
  readonly #watch = new FrameWatch();
  #corked = false;

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

  override _read(): void {
    this.#inner.resume();
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
    if (backlog > this.#options.maxBacklogBytes) {
      this.#options.onBacklog(backlog);
      callback();
      this.destroy();
      return;
    }
    if (this.#inner.write(chunk) || backlog < 64 * 1024) callback();
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
    this.#inner.destroy();
    callback(error);
  }
}
