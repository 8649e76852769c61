/** The broker's listeners: MQTT over TCP and over WebSocket, and both over TLS if there is a certificate. */
import {
  createServer as createHttpServer,
  type IncomingMessage,
  type Server as HttpServer,
  type ServerOptions,
  type ServerResponse,
} from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:tls';
import { createWebSocketStream, WebSocketServer } from 'ws';
import { hostOf, isLoopback, isOwnHost } from '../service/network/addresses.ts';
import type { Config } from '../service/config/config.ts';
import { listenError } from '../service/errors/errors.ts';
import type { TlsFiles } from '../service/network/tls-files.ts';
import type { Peer } from './identity.ts';
import type { Breaches } from './breaches.ts';
import type { ClientLimits } from './client-limits.ts';
import type { Broker } from './broker.ts';
import { GuardedConnection } from './guarded-connection.ts';

export interface ListenersOptions {
  config: Config;
  broker: Broker;
  breaches: Breaches;
  limits: ClientLimits;
  /** Certificate and key, if the broker serves TLS. */
  tls: TlsFiles | undefined;
}

type AnyServer = Server | HttpServer | TlsServer;

/**
 * A page of another site must not reach this broker through its visitor's browser: its Origin has another host than the request, or,
 * after DNS rebinding, a host that is not ours. Only browsers send an Origin.
 */
function originAllowed(request: IncomingMessage, names: readonly string[]): boolean {
  const { origin, host } = request.headers;
  if (origin === undefined) return true;
  try {
    return hostOf(new URL(origin).host) === hostOf(host) && isOwnHost(host, names);
  } catch {
    return false;
  }
}

async function listen(server: AnyServer, port: number, host: string, setting: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const failed = (error: Error): void => reject(listenError(error, setting, `${host}:${port}`));
    server.once('error', failed);
    server.listen(port, host, () => {
      server.off('error', failed);
      resolve();
    });
  });
}

const portOf = (server: AnyServer | undefined): number => (server?.address() as AddressInfo | null | undefined)?.port ?? 0;
const upgradeRequired = (_request: IncomingMessage, response: ServerResponse): void =>
  void response.writeHead(426, { Connection: 'close' }).end('MQTT over WebSocket only\n');

export class Listeners {
  readonly #options: ListenersOptions;
  readonly #perAddress = new Map<string, number>();
  readonly #open = new Set<Socket>();
  readonly #servers: { name: 'mqtt' | 'ws' | 'mqtts' | 'wss'; host: string; server: AnyServer }[] = [];
  readonly #webSockets: WebSocketServer[] = [];
  #closed: Promise<unknown> | undefined;

  constructor(options: ListenersOptions) {
    this.#options = options;
  }

  /** The ports that are listened on, 0 for a listener that is off. */
  get ports(): Record<'mqtt' | 'ws' | 'mqtts' | 'wss', number> {
    const of = (name: string): number => portOf(this.#servers.find((entry) => entry.name === name)?.server);
    return { mqtt: of('mqtt'), ws: of('ws'), mqtts: of('mqtts'), wss: of('wss') };
  }

  /** The URLs that are listened on. */
  get urls(): string[] {
    return this.#servers.map(
      ({ name, host, server }) => `${name}://${host.includes(':') ? `[${host}]` : host}:${portOf(server)}`,
    );
  }

  /** Counts a new connection before anything of it is read; returns false, and closes it, if there are too many. */
  #admit(socket: Socket): boolean {
    const { config, breaches, limits } = this.#options;
    const address = socket.remoteAddress ?? 'unknown';
    const count = this.#perAddress.get(address) ?? 0;
    let limit: string | undefined;
    if (this.#open.size >= config.MQTT_MAX_CONNECTIONS) limit = 'connections';
    else if (count >= Math.max(1, Math.floor(config.MQTT_MAX_CONNECTIONS * limits.connectionsShareOfAddress)))
      limit = 'connections_per_address';
    if (limit !== undefined) {
      breaches.add(limit, { address });
      socket.destroy();
      return false;
    }
    this.#open.add(socket);
    this.#perAddress.set(address, count + 1);
    socket.on('error', () => {});
    socket.once('close', () => {
      this.#open.delete(socket);
      const left = (this.#perAddress.get(address) ?? 1) - 1;
      if (left <= 0) this.#perAddress.delete(address);
      else this.#perAddress.set(address, left);
    });
    return true;
  }

  #take(stream: Duplex, peer: Peer, request?: IncomingMessage): void {
    const { config, breaches, broker } = this.#options;
    const guarded = new GuardedConnection(stream, {
      peer,
      maxPacketBytes: config.MQTT_MAX_PACKET_BYTES,
      onTooLarge: (announcedBytes) => breaches.add('packet_bytes', { address: peer.address, announced_bytes: announcedBytes }),
    });
    guarded.on('error', () => {});
    broker.aedes.handle(guarded, request);
  }

  #webSocketsOn(server: HttpServer, loopback: boolean): void {
    const { config, breaches } = this.#options;
    const webSockets = new WebSocketServer({
      server,
      maxPayload: config.MQTT_MAX_PACKET_BYTES + 1024,
      perMessageDeflate: false,
      handleProtocols: (protocols) => (protocols.has('mqtt') ? 'mqtt' : false),
      verifyClient: ({ req }: { req: IncomingMessage }) => {
        if (originAllowed(req, [config.MQTT_LISTEN_HOST, config.MQTT_TLS_LISTEN_HOST, ...config.MQTT_ALLOWED_HOSTS])) return true;
        breaches.add('origin', { origin: String(req.headers.origin).slice(0, 100) });
        return false;
      },
    });
    webSockets.on('connection', (socket, request) => {
      socket.on('error', () => {});
      this.#take(createWebSocketStream(socket), { address: request.socket.remoteAddress ?? 'unknown', loopback }, request);
    });
    webSockets.on('error', () => {});
    this.#webSockets.push(webSockets);
  }

  /** Throws HrError `port_in_use`, `certificate_unusable`. */
  async start(): Promise<void> {
    const { config, limits, tls } = this.#options;
    const http: ServerOptions = {
      headersTimeout: limits.connectTimeoutMs,
      requestTimeout: limits.connectTimeoutMs,
      connectionsCheckingInterval: Math.max(500, limits.connectTimeoutMs / 4),
      maxHeaderSize: 8192,
    };
    const loopback = isLoopback(config.MQTT_LISTEN_HOST);
    const tcp = createServer({ noDelay: true }, (socket) => {
      if (this.#admit(socket)) this.#take(socket, { address: socket.remoteAddress ?? 'unknown', loopback });
    });
    await this.#listen('mqtt', tcp, config.MQTT_LISTEN_PORT, config.MQTT_LISTEN_HOST, 'MQTT_LISTEN_PORT');
    const web = createHttpServer(http, upgradeRequired);
    web.on('connection', (socket: Socket) => void this.#admit(socket));
    this.#webSocketsOn(web, loopback);
    await this.#listen('ws', web, config.MQTT_LISTEN_WS_PORT, config.MQTT_LISTEN_HOST, 'MQTT_LISTEN_WS_PORT');
    if (tls !== undefined) await this.#startTls(tls, http);
  }

  async #startTls(tls: TlsFiles, http: ServerOptions): Promise<void> {
    const { config, breaches, limits } = this.#options;
    const secure = { ...tls.start(), handshakeTimeout: limits.connectTimeoutMs };
    const loopback = isLoopback(config.MQTT_TLS_LISTEN_HOST);
    const mqtts = createTlsServer({ ...secure, noDelay: true }, (socket) =>
      this.#take(socket, { address: socket.remoteAddress ?? 'unknown', loopback }),
    );
    const wss = createHttpsServer({ ...http, ...secure }, upgradeRequired);
    for (const server of [mqtts, wss]) {
      // Counted as raw sockets: one that never finishes its handshake is a connection too.
      server.on('connection', (socket: Socket) => void this.#admit(socket));
      server.on('tlsClientError', (error, socket) => {
        breaches.add('tls_handshake', { address: socket.remoteAddress ?? 'unknown', reason: error.message.slice(0, 100) });
        socket.destroy();
      });
      tls.serve(server);
    }
    this.#webSocketsOn(wss, loopback);
    await this.#listen('mqtts', mqtts, config.MQTT_TLS_LISTEN_PORT, config.MQTT_TLS_LISTEN_HOST, 'MQTT_TLS_LISTEN_PORT');
    await this.#listen('wss', wss, config.MQTT_TLS_LISTEN_WS_PORT, config.MQTT_TLS_LISTEN_HOST, 'MQTT_TLS_LISTEN_WS_PORT');
  }

  async #listen(
    name: 'mqtt' | 'ws' | 'mqtts' | 'wss',
    server: AnyServer,
    port: number,
    host: string,
    setting: string,
  ): Promise<void> {
    await listen(server, port, host, setting);
    this.#servers.push({ name, host, server });
  }

  /** Accepts no more connections; those that are open stay. */
  stopAccepting(): void {
    this.#closed ??= Promise.all(
      this.#servers.map(async ({ server }) => {
        if (server.listening) await new Promise<void>((resolve) => server.close(() => resolve()));
      }),
    );
  }

  /** Accepts no more connections, and closes those that are open. */
  async stop(): Promise<void> {
    this.stopAccepting();
    this.#options.tls?.stop();
    for (const webSockets of this.#webSockets) {
      for (const client of webSockets.clients) client.terminate();
      webSockets.close();
    }
    for (const socket of this.#open) socket.destroy();
    await this.#closed;
  }
}
