/**
 * Limits of an HTTP server's connections: in all, and per client address. A connection over a limit is not refused, because behind Docker
 * or on loopback its address is also the operator's: another one is closed in its place, the one that is worth least. Connections that
 * were protected (the operator's) are never closed here.
 */
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { Server as TlsServer } from 'node:tls';
import { networkOf } from './client-address.ts';
import { ReadTurns, whenItSends } from './first-bytes.ts';
import { resetSocket } from './reset-socket.ts';
import { connectionKey, readUnreadBytes } from './unread-bytes.ts';

/** Time limits of both HTTP servers, in the names of `http.createServer`. Node checks them every second. */
export const HTTP_TIME_LIMITS = {
  /** From the connection (or the end of the previous request) to the end of the headers. */
  headersTimeout: 10_000,
  /** The same to the end of the body. */
  requestTimeout: 30_000,
  connectionsCheckingInterval: 1000,
  /** An idle connection between two requests. */
  keepAliveTimeout: 60_000,
} as const;
/** A TLS handshake. */
export const HANDSHAKE_TIMEOUT_MS = 10_000;
/** A connection on which nothing was read or written, such as one whose client does not read the answer. */
export const SILENT_CONNECTION_MS = 60_000;
/** What the system may hold for clients that do not read their answers, over all connections that are not protected or were closed. */
export const UNREAD_MAX_BYTES = 32 * 1024 * 1024;
const UNREAD_EVERY_MS = 1000;
/** Connections per second of one client that are handed over without waiting, and at once. */
const NEW_PER_SECOND = 100;
const NEW_AT_ONCE = 300;
const NEW_WAIT_MAX_MS = 500;
const CLIENTS_MAX = 1000;
const WAITING_MAX = 500;
const END_OF_HEADERS = '\r\n\r\n';
/** Fewer connections cannot hold that much. */
const UNREAD_FROM = 8;

/** Of HTTP or HTTPS. */
type AnyServer = Pick<
  Server,
  'on' | 'prependListener' | 'listening' | 'listeners' | 'removeAllListeners' | 'closeAllConnections'
>;

export interface ConnectionLimitsOptions {
  total: number;
  perAddress: number;
  /** How many connections can be protected at a time. */
  protectedMax: number;
  /** How many may wait to be handed over; beyond that the oldest one is closed. */
  waitingMax?: number;
  /** A connection was closed for a limit; `client` is its group (client-address.ts). */
  onClosed: (client: string) => void;
  /** A connection has to wait, because its client opens so many. */
  onDelayed: (client: string) => void;
}

interface Held {
  /** Over TLS a request's socket is another object than the connection's: both have the same key. */
  key: string;
  socket: Socket;
  client: string;
  /** Of `ReadTurns`: when it was accepted or, if it had to wait, handed over. */
  mark: number;
  isProtected: boolean;
  /** Something was received on it. */
  hasSent: boolean;
  /** The request that is being received or answered. */
  request: IncomingMessage | undefined;
  hasRequested: boolean;
  /** Its first bytes are a whole request, which is handled soon. */
  isWhole: boolean;
}

/** Whether these bytes are a request with its body. */
function isWholeRequest(bytes: Buffer): boolean {
  const end = bytes.indexOf(END_OF_HEADERS);
  if (end < 0) return false;
  const headers = bytes.toString('latin1', 0, end);
  if (/^transfer-encoding:/im.test(headers)) return false;
  const bodyBytes = Number(/^content-length:\s*(\d+)/im.exec(headers)?.[1] ?? 0);
  return bytes.length - end - END_OF_HEADERS.length >= bodyBytes;
}

type Phase = 'silent' | 'receiving' | 'answering' | 'idle';

function phaseOf({ request, hasSent, hasRequested, isWhole }: Held): Phase {
  if (!hasSent) return 'silent';
  if (isWhole && !hasRequested) return 'answering';
  if (request !== undefined) return request.complete ? 'answering' : 'receiving';
  return hasRequested ? 'idle' : 'receiving';
}

export class ConnectionLimits {
  readonly #options: ConnectionLimitsOptions;
  /** In the order in which they were last used: the first has waited longest. */
  readonly #held = new Map<string, Held>();
  readonly #perClient = new Map<string, number>();
  readonly #silent = new Set<Socket>();
  /** Wait to be handed over, the oldest first. They are not in `#held`, and after their first bytes nothing is read of them. */
  readonly #waiting = new Set<Held>();
  readonly #waitingOf = new Map<string, number>();
  /** Clients with a new connection: they may be over their limit. */
  readonly #grown = new Set<string>();
  readonly #turns = new ReadTurns(() => this.#trim());
  /** When the next connection of a client is due: a rate that may be used up in advance. */
  readonly #dueMs = new Map<string, number>();
  #protected = 0;
  #port = 0;
  /** Connections that were closed since the last measurement. */
  #closedCount = 0;
  /** What the system held of closed connections as of the last measurement: their clients have not read the last answer. */
  #leftBytes = 0;
  #measuring: NodeJS.Timeout | undefined;
  #isListening = false;

  constructor(options: ConnectionLimitsOptions) {
    this.#options = options;
  }

  /** Open connections. */
  get size(): number {
    return this.#held.size;
  }

  /**
   * True while the system holds too much of connections that were closed, which nothing can take back: nobody whose connection is not
   * protected should have an answer.
   */
  get isExhausted(): boolean {
    return this.#leftBytes > UNREAD_MAX_BYTES;
  }

  /** Watches a server's connections, while it listens. Call it before the server listens. */
  attach(server: AnyServer): void {
    const listeners = server.listeners('connection');
    server.removeAllListeners('connection');
    server.on('connection', (socket: Socket) => {
      const held = this.#opened(socket);
      if (held !== undefined) this.#handOver(held, listeners, server);
    });
    const closeAll = server.closeAllConnections.bind(server);
    // The server does not know those that have sent nothing.
    server.closeAllConnections = () => {
      for (const socket of this.#silent) socket.destroy();
      closeAll();
    };
    server.on('listening', () => void (this.#isListening = true));
    server.on('close', () => {
      this.#isListening = server.listening;
      if (!this.#isListening) this.#stopMeasuring();
    });
    const requested: RequestListener = (request, response) => this.#requested(request, response);
    server.prependListener('request', requested);
  }

  isProtected(request: IncomingMessage): boolean {
    return this.#held.get(connectionKey(request.socket))?.isProtected === true;
  }

  /** Keeps the connection of a request open whatever others do. False if too many are protected. */
  protect(request: IncomingMessage): boolean {
    const held = this.#held.get(connectionKey(request.socket));
    if (held === undefined) return false;
    if (held.isProtected) return true;
    if (this.#protected >= this.#options.protectedMax) return false;
    held.isProtected = true;
    this.#protected += 1;
    return true;
  }

  /** A connection that sends nothing costs no parser and no TLS. */
  #handOver(held: Held, listeners: readonly unknown[], server: unknown): void {
    const { socket, client } = held;
    const ignored = (): void => {};
    const spoke = (): void => void this.#silent.delete(socket);
    this.#silent.add(socket);
    socket.once('close', spoke);
    socket.on('error', ignored);
    const stop = whenItSends(socket, {
      limitMs: HTTP_TIME_LIMITS.headersTimeout,
      onLimit: ignored,
      take: (first) => {
        stop();
        held.hasSent = true;
        // A flood of requests that never end must not close it while it waits.
        held.isWhole = isWholeRequest(first);
        const handOver = (): void => {
          spoke();
          if (socket.destroyed) return;
          for (const listener of listeners) Reflect.apply(listener as (socket: Socket) => void, server, [socket]);
          socket.off('error', ignored);
          // TLS takes the socket over.
          if (!(server instanceof TlsServer)) socket.resume();
        };
        const waitMs = this.#waitMs(client);
        if (waitMs === 0) return handOver();
        this.#options.onDelayed(client);
        this.#wait(held, waitMs, handOver);
      },
    });
  }

  #wait(held: Held, waitMs: number, handOver: () => void): void {
    const { client } = held;
    this.#closed(held);
    this.#waiting.add(held);
    this.#waitingOf.set(client, (this.#waitingOf.get(client) ?? 0) + 1);
    this.#grown.add(client);
    setTimeout(() => {
      if (!this.#waitsNoMore(held)) return;
      this.#hold(held);
      handOver();
    }, waitMs);
    const [oldest] = this.#waiting;
    if (this.#waiting.size > (this.#options.waitingMax ?? WAITING_MAX) && oldest !== undefined) {
      this.#waitsNoMore(oldest);
      this.#end(oldest);
    }
    this.#trim();
  }

  /** False if it does not wait. */
  #waitsNoMore(held: Held): boolean {
    if (!this.#waiting.delete(held)) return false;
    const left = (this.#waitingOf.get(held.client) ?? 1) - 1;
    if (left <= 0) this.#waitingOf.delete(held.client);
    else this.#waitingOf.set(held.client, left);
    return true;
  }

  /** A client that opens connections without a pause waits for each of them. */
  #waitMs(client: string): number {
    const nowMs = performance.now();
    const dueMs = Math.max(this.#dueMs.get(client) ?? 0, nowMs - (1000 * NEW_AT_ONCE) / NEW_PER_SECOND) + 1000 / NEW_PER_SECOND;
    const latestMs = nowMs + NEW_WAIT_MAX_MS;
    if (this.#dueMs.size >= CLIENTS_MAX) this.#dueMs.clear();
    this.#dueMs.set(client, Math.min(dueMs, latestMs));
    return Math.max(0, Math.min(dueMs, latestMs) - nowMs);
  }

  /** Undefined if its client has reset it already. */
  #opened(socket: Socket): Held | undefined {
    if (socket.remoteAddress === undefined) {
      socket.destroy();
      return undefined;
    }
    const key = connectionKey(socket);
    const client = networkOf(socket.remoteAddress);
    this.#port = socket.localPort ?? 0;
    // A client can use its port again before this process has noticed that the connection before is gone.
    const before = this.#held.get(key);
    if (before !== undefined) this.#closed(before);
    const state = { mark: 0, isProtected: false, hasSent: false, request: undefined, hasRequested: false, isWhole: false };
    const held: Held = { key, socket, client, ...state };
    this.#hold(held);
    socket.once('close', () => {
      this.#waitsNoMore(held);
      this.#closed(held);
    });
    return held;
  }

  #hold(held: Held): void {
    const { key, client } = held;
    held.mark = this.#turns.mark();
    this.#held.set(key, held);
    if (this.#isListening && this.#mayHoldMuch)
      this.#measuring ??= setInterval(() => void this.#closeUnread(), UNREAD_EVERY_MS).unref();
    this.#perClient.set(client, (this.#perClient.get(client) ?? 0) + 1);
    this.#grown.add(client);
  }

  /** Closes what is over a limit, once what has arrived on it was read. */
  #trim(): void {
    for (const client of this.#grown) {
      while (this.#isOverLimit(client)) if (!this.#closeOneOf(client)) break;
      if (!this.#isOverLimit(client)) this.#grown.delete(client);
    }
    while (this.#held.size > this.#options.total) if (!this.#closeOneOf(this.#largestClient())) return;
  }

  /** Those that wait take the places of others, but of half of them at most: a flood must not close all that are answered. */
  #isOverLimit(client: string): boolean {
    const { perAddress } = this.#options;
    const waiting = Math.min(this.#waitingOf.get(client) ?? 0, perAddress / 2);
    return (this.#perClient.get(client) ?? 0) > perAddress - waiting;
  }

  #closed(held: Held): void {
    if (this.#held.get(held.key) !== held) return;
    this.#held.delete(held.key);
    this.#closedCount += 1;
    const left = (this.#perClient.get(held.client) ?? 1) - 1;
    if (left <= 0) this.#perClient.delete(held.client);
    else this.#perClient.set(held.client, left);
    if (held.isProtected) this.#protected -= 1;
  }

  #requested(request: IncomingMessage, response: ServerResponse): void {
    const held = this.#held.get(connectionKey(request.socket));
    if (held === undefined) return;
    held.request = request;
    held.hasRequested = true;
    this.#moveToEnd(held);
    response.once('close', () => {
      if (held.request !== request) return;
      held.request = undefined;
      this.#moveToEnd(held);
    });
  }

  #moveToEnd(held: Held): void {
    if (!this.#held.delete(held.key)) return;
    this.#held.set(held.key, held);
  }

  #largestClient(): string {
    let largest = '';
    let most = 0;
    for (const [client, count] of this.#perClient)
      if (count > most) {
        largest = client;
        most = count;
      }
    return largest;
  }

  /**
   * Closes one connection of a client: an idle one; else, if many requests are still to arrive, one of many that say nothing, or the one
   * that has waited longest for its request; else one that is being answered. A few connections may always be sending their request:
   * without that, a client that keeps all others busy could close each new one. False if what has arrived on all of them is yet to be read.
   */
  #closeOneOf(client: string): boolean {
    const oldest: Partial<Record<Phase, Held>> = {};
    const counts: Record<Phase, number> = { silent: 0, receiving: 0, answering: 0, idle: 0 };
    for (const held of this.#held.values()) {
      if (held.client !== client || held.isProtected) continue;
      const phase = phaseOf(held);
      counts[phase] += 1;
      if (this.#turns.wasRead(held.mark)) oldest[phase] ??= held;
    }
    const isMany = (count: number): boolean => count > this.#options.perAddress / 8;
    const { idle, answering, receiving, silent } = oldest;
    const arriving = (isMany(counts.silent) ? silent : undefined) ?? receiving ?? silent;
    const victim = idle ?? (isMany(counts.silent + counts.receiving) ? arriving : answering) ?? arriving ?? answering;
    if (victim === undefined) return false;
    this.#closed(victim);
    this.#end(victim);
    return true;
  }

  #end({ socket, client, hasRequested }: Held): void {
    // What was answered may still be on its way.
    if (hasRequested) socket.destroy();
    else resetSocket(socket);
    this.#options.onClosed(client);
  }

  /** A box with a few connections is not woken every second to measure them. */
  get #mayHoldMuch(): boolean {
    return this.#held.size + this.#closedCount >= UNREAD_FROM || this.#leftBytes > 0;
  }

  #stopMeasuring(): void {
    clearInterval(this.#measuring);
    this.#measuring = undefined;
  }

  /** Closes the connections with the most unread bytes, until the rest may stay. */
  async #closeUnread(): Promise<void> {
    if (!this.#mayHoldMuch) return this.#stopMeasuring();
    const unread = await readUnreadBytes();
    this.#closedCount = 0;
    this.#leftBytes = 0;
    for (const [key, bytes] of unread) if (key.startsWith(`${this.#port} `) && !this.#held.has(key)) this.#leftBytes += bytes;
    const bytesOf = ({ key }: Held): number => unread.get(key) ?? 0;
    const held = [...this.#held.values()].filter(({ isProtected }) => !isProtected).sort((a, b) => bytesOf(b) - bytesOf(a));
    let total = held.reduce((sum, each) => sum + bytesOf(each), this.#leftBytes);
    for (const each of held) {
      if (total <= UNREAD_MAX_BYTES) return;
      total -= bytesOf(each);
      this.#closed(each);
      // Not closed in order: the system would keep what it holds until the client has read it.
      resetSocket(each.socket);
      this.#options.onClosed(each.client);
    }
  }
}
