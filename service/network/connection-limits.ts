/**
 * Limits of an HTTP server's connections: in all, and per client address. A connection over a limit is not refused, because behind Docker
 * or on loopback its address is also the operator's: another one is closed in its place, the one that is worth least. Connections that
 * were protected (the operator's) are never closed here.
 */
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { Server as TlsServer } from 'node:tls';
import { networkOf } from './client-address.ts';
import { whenItSends } from './first-bytes.ts';
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
  isProtected: boolean;
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

type Phase = 'receiving' | 'answering' | 'idle';

function phaseOf({ request, hasRequested, isWhole }: Held): Phase {
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
        setTimeout(handOver, waitMs);
      },
    });
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

  /** Undefined if its client has reset it already, or it was closed for a limit. */
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
    const held: Held = { key, socket, client, isProtected: false, request: undefined, hasRequested: false, isWhole: false };
    this.#held.set(key, held);
    if (this.#isListening && this.#mayHoldMuch)
      this.#measuring ??= setInterval(() => void this.#closeUnread(), UNREAD_EVERY_MS).unref();
    this.#perClient.set(client, (this.#perClient.get(client) ?? 0) + 1);
    socket.once('close', () => this.#closed(held));
    if ((this.#perClient.get(client) ?? 0) > this.#options.perAddress) this.#closeOneOf(client, held);
    else if (this.#held.size > this.#options.total) this.#closeOneOf(this.#largestClient(), held);
    return socket.destroyed ? undefined : held;
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
   * Closes one connection of a client: an idle one; else the one that has waited longest for its request to arrive, if there are many of
   * them; else one that is being answered. A few connections may always be sending their request: without that, a client that keeps all
   * others busy could close each new one.
   */
  #closeOneOf(client: string, newest: Held): void {
    const oldest: Partial<Record<Phase, Held>> = {};
    let receiving = 0;
    for (const held of this.#held.values()) {
      if (held.client !== client || held.isProtected) continue;
      const phase = phaseOf(held);
      oldest[phase] ??= held;
      if (phase === 'receiving') receiving += 1;
    }
    const many = receiving > this.#options.perAddress / 8;
    const victim = oldest.idle ?? (many ? oldest.receiving : oldest.answering) ?? oldest.receiving ?? newest;
    this.#closed(victim);
    // What was answered may still be on its way.
    if (victim.hasRequested) victim.socket.destroy();
    else resetSocket(victim.socket);
    this.#options.onClosed(victim.client);
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
