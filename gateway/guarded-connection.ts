/**
 * Sits between a socket and Aedes. A packet that announces more than the limit closes the connection before anything of it is buffered
 * (Aedes has no limit of its own), publishers with too many unacknowledged readings are not read, and the writes of one turn of the
 * event loop leave in one system call.
 */
import { Duplex } from 'node:stream';
import type { Peer } from './identity.ts';

export interface GuardedConnectionOptions {
  peer: Peer;
  maxPacketBytes: number;
  /** Called once, before the connection is destroyed. */
  onTooLarge: (announcedBytes: number) => void;
}

/** The packet type PUBLISH in the first byte of a packet (MQTT 3.1.1 section 2.2.1). */
const PUBLISH = 3;

/** Follows the framing of MQTT (section 2.2.3) through chunks of any size. */
class FrameWatch {
  #type = 0;
  #left = 0;
  #lengthBytes = -1;
  #length = 0;
  /** The length that a packet announced, if it was over the limit. */
  announced: number | undefined;

  /**
   * Follows a chunk until this many PUBLISH packets have ended in it, or a packet announces more than `maxBytes`. Returns how many bytes
   * that took.
   */
  follow(chunk: Buffer, maxBytes: number, publishes: number): number {
    let at = 0;
    let left = publishes;
    while (at < chunk.length && left > 0) {
      if (this.#left > 0) {
        const step = Math.min(this.#left, chunk.length - at);
        this.#left -= step;
        at += step;
        if (this.#left === 0 && this.#type === PUBLISH) left -= 1;
        continue;
      }
      const byte = chunk[at] ?? 0;
      at += 1;
      if (this.#lengthBytes < 0) {
        this.#type = byte >> 4;
        this.#lengthBytes = 0;
        this.#length = 0;
        continue;
      }
      this.#length += (byte & 0x7f) * 128 ** this.#lengthBytes;
      this.#lengthBytes += 1;
      if (this.#length > maxBytes || (this.#lengthBytes >= 4 && byte >= 0x80)) {
        this.announced = this.#length;
        return at;
      }
      if (byte < 0x80) {
        this.#left = this.#length;
        this.#lengthBytes = -1;
      }
    }
    return at;
  }
}

/** What the system and the stream below may hold before writes wait here. */
const INNER_BACKLOG_BYTES = 64 * 1024;

/** How long the last packets to a client may take to leave. */
const LAST_PACKETS_MS = 1000;

/** The connection that Aedes is given. */
export class GuardedConnection extends Duplex {
  readonly #inner: Duplex;
  readonly #options: GuardedConnectionOptions;
  readonly #watch = new FrameWatch();
  #corked = false;
  #hold: NodeJS.Timeout | undefined;
  /** How many more PUBLISH packets may be handed to Aedes now; undefined: no limit. */
  #publishCredit: (() => number) | undefined;
  /** Received, and not handed to Aedes yet. */
  readonly #waiting: Buffer[] = [];
  #unreadSinceMs: number | undefined;
  #receivedBytes = 0;
  #hasEnded = false;

  constructor(inner: Duplex, options: GuardedConnectionOptions) {
    super({ allowHalfOpen: false, readableHighWaterMark: 64 * 1024, writableHighWaterMark: 256 * 1024 });
    this.#inner = inner;
    this.#options = options;
    inner.on('data', (chunk: Buffer) => {
      this.#receivedBytes += chunk.length;
      this.#waiting.push(chunk);
      this.#handOver();
    });
    inner.on('end', () => {
      this.#hasEnded = true;
      this.#handOver();
    });
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

  /** Bytes that were read from the client. */
  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  /** The client is not read: its publish rate or its window is used up. */
  get isHeldBack(): boolean {
    return this.#hold !== undefined || this.#unreadSinceMs !== undefined;
  }

  /** Since when nothing is read because there is no credit for another PUBLISH, on the monotonic clock. */
  get unreadSinceMs(): number | undefined {
    return this.#unreadSinceMs;
  }

  /** From now on hands over only as many PUBLISH packets at once as `credit` allows, and reads nothing while it is 0. */
  limitPublishes(credit: () => number): void {
    this.#publishCredit = credit;
  }

  /** Asks for credit again. */
  readOn(): void {
    if (this.#unreadSinceMs !== undefined) this.#handOver();
  }

  /** Reads nothing more from the client for a while: TCP makes it wait. */
  hold(forMs: number): void {
    if (this.#hold !== undefined || this.destroyed) return;
    this.#inner.pause();
    this.#hold = setTimeout(() => {
      this.#hold = undefined;
      this.#handOver();
    }, forMs);
  }

  /** Hands over what is waiting, as far as credit and Aedes' buffer allow, and reads on if nothing is left. */
  #handOver(): void {
    if (this.destroyed || this.#hold !== undefined) return;
    for (let chunk = this.#waiting[0]; chunk !== undefined; chunk = this.#waiting[0]) {
      // What was handed over before must have been parsed, else its publishes are not in the credit yet. `read` continues here.
      if (this.#publishCredit !== undefined && this.readableLength > 0) return this.#stopReading();
      const credit = this.#publishCredit?.() ?? Number.POSITIVE_INFINITY;
      if (credit <= 0) {
        this.#unreadSinceMs ??= performance.now();
        return this.#stopReading();
      }
      this.#unreadSinceMs = undefined;
      const bytes = this.#watch.follow(chunk, this.#options.maxPacketBytes, credit);
      if (this.#watch.announced !== undefined) {
        this.#options.onTooLarge(this.#watch.announced);
        this.destroy();
        return;
      }
      if (bytes < chunk.length) this.#waiting[0] = chunk.subarray(bytes);
      else this.#waiting.shift();
      if (!this.push(bytes < chunk.length ? chunk.subarray(0, bytes) : chunk)) return this.#stopReading();
    }
    if (this.#hasEnded) this.push(null);
    else this.#inner.resume();
  }

  #stopReading(): void {
    this.#inner.pause();
  }

  override read(size?: number): Buffer | null {
    const chunk = super.read(size) as Buffer | null;
    // After Aedes has parsed it.
    if (chunk !== null && this.#publishCredit !== undefined) process.nextTick(() => this.#handOver());
    return chunk;
  }

  override _read(): void {
    if (this.#publishCredit === undefined || this.#waiting.length === 0) this.#handOver();
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
      // The last packets, such as a CONNACK that refuses, are still on their way out: they leave first.
      inner.pause();
      const limit = setTimeout(() => inner.destroy(), LAST_PACKETS_MS).unref();
      inner.once('close', () => clearTimeout(limit));
      inner.end(() => inner.destroy());
    } else inner.destroy();
    callback(error);
  }
}
