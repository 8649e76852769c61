/**
 * Sits between a socket and Aedes. A packet that announces more than the limit closes the connection before anything of it is buffered
 * (Aedes has no limit of its own); a service's is skipped instead. Clients over their budget and publishers with too many unacknowledged
 * readings are not read, no client gets more than a few packets handled in one turn of the event loop, and the writes of one turn leave in
 * one system call.
 */
import { Duplex } from 'node:stream';
import type { ClientMeter, Resource } from './budgets/client-meter.ts';
import { FRAME_BYTES, FRAMES_BEFORE_LOGIN } from './client-limits.ts';
import { FrameWatch } from './frame-watch.ts';
import type { Peer } from './identity.ts';

export interface GuardedConnectionOptions {
  peer: Peer;
  maxPacketBytes: number;
  /** Longest packet before the CONNECT was accepted, and longest SUBSCRIBE and UNSUBSCRIBE after it. */
  requestBytes: number;
  /** A packet announces too much. The connection is destroyed after it, unless the client is a service: its packet is skipped. */
  onTooLarge: (announcedBytes: number) => void;
}

/** Who the client is, once it has logged in. */
export interface ConnectionPolicy {
  /** A packet that is too large is skipped, and does not end the connection. */
  skipsTooLarge: boolean;
  /** Undefined: nothing is metered. */
  meter: ClientMeter | undefined;
  /** The client is over its budget, has been for `forMs`, and is not read for `waitMs`. */
  onThrottled: (exceeded: { resource: Resource; waitMs: number; forMs: number }) => void;
  /** The bytes that wait for or from the client have changed. */
  onMemory: () => void;
}

/** What the system and the stream below may hold before writes wait here. */
const INNER_BACKLOG_BYTES = 64 * 1024;
/** What may be left to the system when a connection is closed in order: a CONNACK, a SUBACK. */
const LEFT_TO_SYSTEM_BYTES = 4 * 1024;
/** How long the last packets to a client may take to arrive. */
const LAST_PACKETS_MS = 1000;
/** Packets of one metered client in one turn of the event loop. */
const TURN_PACKETS = 64;
/** A client over its budget is not read for at least and at most this long. */
const HOLD_MIN_MS = 50;
const HOLD_MAX_MS = 5000;
/** A client that was within its budget for so long has paused. */
const PAUSE_MS = 2000;

/** The connection that Aedes is given. */
export class GuardedConnection extends Duplex {
  readonly #inner: Duplex;
  readonly #options: GuardedConnectionOptions;
  readonly #watch = new FrameWatch();
  #policy: ConnectionPolicy | undefined;
  #corked = false;
  #hold: NodeJS.Timeout | undefined;
  #next: NodeJS.Immediate | undefined;
  #throttled: { sinceMs: number; lastMs: number } | undefined;
  /** How many more PUBLISH packets may be handed to Aedes now; undefined: no limit. */
  #publishCredit: (() => number) | undefined;
  /** Received, and not handed to Aedes yet. */
  readonly #waiting: Buffer[] = [];
  #waitingBytes = 0;
  /** Bytes of a packet that is too long, still to be skipped. */
  #skip = 0;
  #unreadSinceMs: number | undefined;
  #receivedBytes = 0;
  #sentBytes = 0;
  #systemBytes = 0;
  /** What had been sent when that was measured. */
  #measuredAtBytes = 0;
  #hasEnded = false;
  #hasFirstPacket = false;
  #framesBeforeLogin = 0;

  constructor(inner: Duplex, options: GuardedConnectionOptions) {
    super({ allowHalfOpen: true, readableHighWaterMark: 64 * 1024, writableHighWaterMark: 256 * 1024 });
    this.#inner = inner;
    this.#options = options;
    inner.on('data', (chunk: Buffer) => this.#receive(chunk));
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

  /** Bytes that wait in this process for the client to read them. */
  get backlogBytes(): number {
    return this.writableLength + this.#inner.writableLength;
  }

  /** The same, and what the system holds for the client as of the last measurement. */
  get unreadBytes(): number {
    return this.backlogBytes + this.#systemBytes;
  }

  /** What the system holds for the client, as measured now. */
  set systemBytes(bytes: number) {
    this.#systemBytes = bytes;
    this.#measuredAtBytes = this.#sentBytes;
  }

  /** Bytes that left for the client. */
  get sentBytes(): number {
    return this.#sentBytes;
  }

  /** Bytes that were received and are not handled yet: what is not handed over, and the packet that is not complete. */
  get incomingBytes(): number {
    return this.#waitingBytes + this.#watch.incompleteBytes;
  }

  /** Bytes that were read from the client. */
  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  /** The client is not read: its budget or its window is used up. */
  get isHeldBack(): boolean {
    return this.#hold !== undefined || this.#unreadSinceMs !== undefined || this.#next !== undefined;
  }

  /** Since when nothing is read because there is no credit for another PUBLISH, on the monotonic clock. */
  get unreadSinceMs(): number | undefined {
    return this.#unreadSinceMs;
  }

  /** Who the client is. Until this is called, only its first packet is handed over, and only if it is short. */
  identify(policy: ConnectionPolicy): void {
    this.#policy = policy;
    process.nextTick(() => this.#handOver());
  }

  /** So many WebSocket frames are handed over next, and cost as much as their client's bytes. False: too many before its login. */
  takeFrames(count: number): boolean {
    this.#policy?.meter?.take('bytes', count * FRAME_BYTES);
    if (this.#policy === undefined) this.#framesBeforeLogin += count;
    return this.#policy !== undefined || this.#framesBeforeLogin <= FRAMES_BEFORE_LOGIN;
  }

  /** From now on hands over only as many PUBLISH packets at once as `credit` allows, and reads nothing while it is 0. */
  limitPublishes(credit: () => number): void {
    this.#publishCredit = credit;
  }

  /** Asks for credit again. */
  readOn(): void {
    if (this.#unreadSinceMs !== undefined) this.#handOver();
  }

  #receive(chunk: Buffer): void {
    this.#receivedBytes += chunk.length;
    const skipped = Math.min(this.#skip, chunk.length);
    this.#skip -= skipped;
    if (skipped === chunk.length) return;
    this.#waiting.push(skipped === 0 ? chunk : chunk.subarray(skipped));
    this.#waitingBytes += chunk.length - skipped;
    this.#handOver();
    this.#policy?.onMemory();
  }

  /** Reads nothing more from the client for a while: TCP makes it wait. */
  #throttle(resource: Resource, neededMs: number, nowMs: number): void {
    const waitMs = Math.min(HOLD_MAX_MS, Math.max(HOLD_MIN_MS, neededMs));
    if (this.#throttled === undefined || nowMs - this.#throttled.lastMs > PAUSE_MS)
      this.#throttled = { sinceMs: nowMs, lastMs: nowMs };
    this.#throttled.lastMs = nowMs + waitMs;
    this.#stopReading();
    this.#hold = setTimeout(() => {
      this.#hold = undefined;
      this.#handOver();
    }, waitMs);
    this.#policy?.onThrottled({ resource, waitMs, forMs: nowMs - this.#throttled.sinceMs });
  }

  /** Hands over what is waiting, as far as budget, credit and Aedes' buffer allow, and reads on if nothing is left. */
  #handOver(): void {
    if (this.destroyed || this.#hold !== undefined || this.#next !== undefined) return;
    for (let chunk = this.#waiting[0]; chunk !== undefined; chunk = this.#waiting[0]) {
      const credit = this.#creditNow();
      if (credit <= 0) return this.#stopReading();
      const bytes = this.#follow(chunk, credit);
      if (bytes === undefined) return;
      if (bytes === 0) {
        if (this.#mergeHeader(chunk)) continue;
        break;
      }
      this.#consume(chunk, bytes);
      if (!this.push(bytes < chunk.length ? chunk.subarray(0, bytes) : chunk)) return this.#stopReading();
      if (this.#policy?.meter !== undefined && this.#waiting.length > 0) return this.#continueNextTurn();
    }
    if (this.#hasEnded) this.push(null);
    else this.#inner.resume();
  }

  /** How many PUBLISH packets may be handed over now; 0: nothing may. */
  #creditNow(): number {
    if (this.#policy === undefined && this.#hasFirstPacket) return 0;
    if (this.#publishCredit === undefined) return Number.POSITIVE_INFINITY;
    // What was handed over before must have been parsed, else its publishes are not in the credit yet. `read` continues here.
    if (this.readableLength > 0) return 0;
    const credit = this.#publishCredit();
    this.#unreadSinceMs = credit > 0 ? undefined : (this.#unreadSinceMs ?? performance.now());
    return credit;
  }

  #consume(chunk: Buffer, bytes: number): void {
    if (bytes < chunk.length) this.#waiting[0] = chunk.subarray(bytes);
    else this.#waiting.shift();
    this.#waitingBytes -= bytes;
  }

  /** A header goes on in the next chunk. Returns false if that is not there yet. */
  #mergeHeader(chunk: Buffer): boolean {
    const next = this.#waiting[1];
    if (next === undefined) return false;
    this.#waiting.splice(0, 2, Buffer.concat([chunk, next]));
    return true;
  }

  /** Other connections are handled before the rest of this one. */
  #continueNextTurn(): void {
    this.#stopReading();
    this.#next = setImmediate(() => {
      this.#next = undefined;
      this.#handOver();
    });
  }

  #packetsAtOnce(): number {
    if (this.#policy === undefined) return 1;
    return this.#policy.meter === undefined ? Number.POSITIVE_INFINITY : TURN_PACKETS;
  }

  /** How many bytes of a chunk may be handed over now; undefined: none, and reading has stopped. */
  #follow(chunk: Buffer, credit: number): number | undefined {
    const { maxPacketBytes, requestBytes, onTooLarge } = this.#options;
    const meter = this.#policy?.meter;
    const nowMs = meter === undefined ? 0 : performance.now();
    const exceeded = meter?.exceeded(nowMs);
    if (exceeded !== undefined) {
      this.#throttle(exceeded.resource, exceeded.waitMs, nowMs);
      return undefined;
    }
    const skipsTooLarge = this.#policy?.skipsTooLarge === true;
    const bytes = this.#watch.follow(chunk, {
      maxBytes: this.#policy === undefined ? Math.min(requestBytes, maxPacketBytes) : maxPacketBytes,
      requestBytes: skipsTooLarge ? maxPacketBytes : requestBytes,
      publishPackets: credit,
      publishes: meter?.credit('publishes', nowMs) ?? Number.POSITIVE_INFINITY,
      requests: meter?.credit('requests', nowMs) ?? Number.POSITIVE_INFINITY,
      packets: this.#packetsAtOnce(),
    });
    const { packets, publishes, requests } = this.#watch.take();
    this.#hasFirstPacket ||= packets > 0;
    if (meter !== undefined) {
      meter.take('publishes', publishes);
      meter.take('requests', requests);
      meter.take('bytes', bytes);
    }
    const { tooLong } = this.#watch;
    if (tooLong === undefined) return bytes;
    onTooLarge(tooLong.announcedBytes);
    if (!skipsTooLarge || tooLong.isMalformed) {
      this.destroy();
      return undefined;
    }
    return this.#skipPacket(chunk, bytes);
  }

  /** Cuts the packet that is too long out of what has arrived and will arrive. What is before it is handed over. */
  #skipPacket(chunk: Buffer, before: number): number | undefined {
    let left = this.#watch.skip();
    const rest: Buffer[] = [];
    for (const [index, part] of this.#waiting.entries()) {
      const from = index === 0 ? before : 0;
      const cut = Math.min(left, part.length - from);
      left -= cut;
      this.#waitingBytes -= cut;
      if (index === 0 && before > 0) rest.push(part.subarray(0, before));
      if (from + cut < part.length) rest.push(part.subarray(from + cut));
    }
    this.#skip = left;
    this.#waiting.splice(0, this.#waiting.length, ...rest);
    if (before > 0) return this.#handParts(chunk, before);
    this.#handOver();
    return undefined;
  }

  /** The first part was followed already: it is handed over as it is. */
  #handParts(chunk: Buffer, before: number): undefined {
    this.#waiting.shift();
    this.#waitingBytes -= before;
    if (this.push(chunk.subarray(0, before))) this.#handOver();
    else this.#stopReading();
    return undefined;
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
    if (this.#inner.write(chunk) || backlog < INNER_BACKLOG_BYTES) {
      this.#sentBytes += chunk.length;
      callback();
    } else {
      const done = (): void => {
        this.#sentBytes += chunk.length;
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
    clearImmediate(this.#next);
    this.#waiting.length = 0;
    this.#waitingBytes = 0;
    const inner = this.#inner;
    if (!inner.destroyed && inner.writable && inner.writableLength + this.#systemBytes < INNER_BACKLOG_BYTES) {
      // The last packets, such as a CONNACK that refuses, are still on their way out: they leave first.
      inner.pause();
      const limit = setTimeout(() => this.#reset(), LAST_PACKETS_MS).unref();
      inner.once('close', () => clearTimeout(limit));
      const heldMaxBytes = inner.writableLength + this.#systemBytes + this.#sentBytes - this.#measuredAtBytes;
      if (heldMaxBytes < LEFT_TO_SYSTEM_BYTES) inner.end(() => inner.destroy());
    } else this.#reset();
    callback(error);
  }

  /** For a client that does not read: the system would keep what it holds for it, for minutes and uncounted, if it were closed in order. */
  #reset(): void {
    this.#options.peer.reset?.();
    this.#inner.destroy();
  }
}
