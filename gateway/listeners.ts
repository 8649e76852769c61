/**
 * The broker's listeners: MQTT over TCP and over WebSocket, and both over TLS if there is a certificate; and one for the services of this
 * box, with a queue and places of its own, so that other clients, however many, cannot keep the services out.
 */
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
import { listenError, systemCodeOf } from '../service/errors/errors.ts';
import { SETTINGS } from '../service/config/settings.ts';
import type { Logger } from '../service/log/log.ts';
import type { TlsFiles } from '../service/network/tls-files.ts';
import { connectionKey } from '../service/network/unread-bytes.ts';
import type { Peer } from './identity.ts';
import type { Breaches } from './breaches.ts';
import type { ClientLimits } from './client-limits.ts';
import type { Broker } from './broker.ts';
import { Admission, HalfOpen } from './admission.ts';

export interface ListenersOptions {
  config: Config;
  log: Logger;
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

type ListenerName = 'mqtt' | 'ws' | 'mqtts' | 'wss' | 'services';

/** Connections that the system accepts while the event loop is busy; it may allow fewer (net.core.somaxconn). */
const ACCEPT_QUEUE = 4096;
/** Connections to the listener for services that have sent nothing yet, and the time that they have. */
const SERVICES_HALF_OPEN = 256;
const SERVICES_CONNECT_MS = 2000;
/** A new connection of another client has this long to send its CONNECT, even if many are half-open. */
const HALF_OPEN_GRACE_MS = 500;
/** A client may close its side and not read: GuardedConnection, not Node, decides how its connection ends. */
const ENDS_LATER = { allowHalfOpen: true } as const;
/** The first byte of a CONNECT (MQTT 3.1.1 section 3.1.1). */
const CONNECT = 0x10;

async function listen(server: AnyServer, port: number, host: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, host, backlog: ACCEPT_QUEUE }, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

const portOf = (server: AnyServer | undefined): number => (server?.address() as AddressInfo | null | undefined)?.port ?? 0;
const upgradeRequired = (_request: IncomingMessage, response: ServerResponse): void =>
  void response.writeHead(426, { Connection: 'close' }).end('MQTT over WebSocket only\n');

export class Listeners {
  readonly #options: ListenersOptions;
  readonly #admission: Admission;
  /** Connections of services, and what waits to become one. */
  readonly #services = new Set<Socket>();
  readonly #servers: { name: ListenerName; host: string; server: AnyServer }[] = [];
  readonly #webSockets: WebSocketServer[] = [];
  #closed: Promise<unknown> | undefined;

  constructor(options: ListenersOptions) {
    this.#options = options;
    const { config, breaches, limits } = options;
    this.#admission = new Admission({ connections: config.MQTT_MAX_CONNECTIONS, breaches, limits });
  }

  /** The ports that are listened on, 0 for a listener that is off. */
  get ports(): Record<ListenerName, number> {
    const of = (name: string): number => portOf(this.#servers.find((entry) => entry.name === name)?.server);
    return { mqtt: of('mqtt'), ws: of('ws'), mqtts: of('mqtts'), wss: of('wss'), services: of('services') };
  }

  /** The URLs that are listened on. */
  get urls(): string[] {
    return this.#servers.map(
      ({ name, host, server }) =>
        `${name === 'services' ? 'mqtt' : name}://${host.includes(':') ? `[${host}]` : host}:${portOf(server)}`,
    );
  }

  /** Counts a new connection before anything of it is read; returns false, and closes it, if there are too many. */
  #admit(socket: Socket, halfOpen: HalfOpen): boolean {
    if (!this.#admission.admit(socket)) return false;
    halfOpen.add(socket);
    return true;
  }

  #halfOpen(): HalfOpen {
    const { breaches, limits } = this.#options;
    return new HalfOpen({ max: limits.halfOpen, graceMs: HALF_OPEN_GRACE_MS }, (address) =>
      breaches.add('half_open', { address }),
    );
  }

  /** Where a connection comes from. A TLS socket, and that of a WebSocket's request, has the addresses and ports of the accepted one. */
  #peerOf(socket: Socket, loopback: boolean, halfOpen: HalfOpen): Peer {
    const connection = connectionKey(socket);
    const address = socket.remoteAddress ?? 'unknown';
    const onLogin = (): void => halfOpen.done(address, connection);
    return { address, loopback, connection, onLogin, reset: () => this.#admission.reset(connection) };
  }

  #take(stream: Duplex, peer: Peer, request?: IncomingMessage): void {
    const { breaches, broker } = this.#options;
    const guarded = broker.guarded(stream, {
      peer,
      onTooLarge: (announcedBytes) => breaches.add('packet_bytes', { address: peer.address, announced_bytes: announcedBytes }),
    });
    broker.handle(guarded, request);
  }

  #webSocketsOn(server: HttpServer, loopback: boolean, halfOpen: HalfOpen): void {
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
      const peer = this.#peerOf(request.socket, loopback, halfOpen);
      // Before ws closes it in order: the client may have closed its side only, and not read.
      request.socket.prependListener('end', () => peer.reset?.());
      this.#take(createWebSocketStream(socket), peer, request);
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
    await this.#startServices();
    const loopback = isLoopback(config.MQTT_LISTEN_HOST);
    const [tcpHalfOpen, webHalfOpen] = [this.#halfOpen(), this.#halfOpen()];
    const tcp = createServer({ noDelay: true, ...ENDS_LATER }, (socket) => {
      if (this.#admit(socket, tcpHalfOpen)) this.#take(socket, this.#peerOf(socket, loopback, tcpHalfOpen));
    });
    await this.#listen('mqtt', tcp, config.MQTT_LISTEN_PORT, config.MQTT_LISTEN_HOST, 'MQTT_LISTEN_PORT');
    const web = createHttpServer(http, upgradeRequired);
    web.on('connection', (socket: Socket) => void this.#admit(socket, webHalfOpen));
    this.#webSocketsOn(web, loopback, webHalfOpen);
    await this.#listen('ws', web, config.MQTT_LISTEN_WS_PORT, config.MQTT_LISTEN_HOST, 'MQTT_LISTEN_WS_PORT');
    if (tls !== undefined) await this.#startTls(tls, http);
  }

  /** The listener for the services of this box: only their keys are accepted. What sends nothing makes room for what comes later. */
  async #startServices(): Promise<void> {
    const { config, breaches, log } = this.#options;
    const halfOpen = new HalfOpen({ max: SERVICES_HALF_OPEN, graceMs: 0 }, (address) => breaches.add('half_open', { address }));
    const server = createServer({ noDelay: true }, (socket) => {
      const address = socket.remoteAddress;
      // The client has reset it already.
      if (address === undefined) return void socket.destroy();
      this.#services.add(socket);
      halfOpen.add(socket);
      socket.on('error', () => {});
      socket.once('close', () => this.#services.delete(socket));
      const key = connectionKey(socket);
      const limit = setTimeout(() => {
        breaches.add('connect_timeout', { address });
        socket.destroy();
      }, SERVICES_CONNECT_MS);
      socket.once('close', () => clearTimeout(limit));
      const onLogin = (): void => {
        clearTimeout(limit);
        halfOpen.done(address, key);
      };
      // A connection costs little until it sends a CONNECT.
      socket.once('data', (chunk: Buffer) => {
        if (chunk[0] !== CONNECT) return void socket.destroy();
        socket.pause();
        socket.unshift(chunk);
        this.#take(socket, { address, loopback: false, servicesOnly: true, onLogin });
        socket.resume();
      });
    });
    const { MQTT_SERVICES_HOST: host, MQTT_SERVICES_PORT: port } = config;
    const isDefault = port === SETTINGS.MQTT_SERVICES_PORT.default;
    const wanted = isDefault && config.MQTT_LISTEN_PORT === 0 ? 0 : port;
    try {
      await listen(server, wanted, host);
    } catch (error) {
      if (!isDefault || systemCodeOf(error) !== 'EADDRINUSE') throw listenError(error, 'MQTT_SERVICES_PORT', `${host}:${port}`);
      await listen(server, 0, host);
      log.warn(
        { event: 'services_port_in_use', port, used: portOf(server) },
        'another program uses the port for services: services that do not find this one use the ordinary listener',
      );
    }
    this.#servers.push({ name: 'services', host, server });
  }

  async #startTls(tls: TlsFiles, http: ServerOptions): Promise<void> {
    const { config, breaches, limits } = this.#options;
    const secure = { ...tls.start(), handshakeTimeout: limits.connectTimeoutMs };
    const loopback = isLoopback(config.MQTT_TLS_LISTEN_HOST);
    const [mqttsHalfOpen, wssHalfOpen] = [this.#halfOpen(), this.#halfOpen()];
    const mqtts = createTlsServer({ ...secure, noDelay: true, ...ENDS_LATER }, (socket) => {
      this.#take(socket, this.#peerOf(socket, loopback, mqttsHalfOpen));
    });
    const wss = createHttpsServer({ ...http, ...secure }, upgradeRequired);
    for (const [server, halfOpen] of [
      [mqtts, mqttsHalfOpen],
      [wss, wssHalfOpen],
    ] as const) {
      // Counted as raw sockets: one that never finishes its handshake is a connection too.
      server.on('connection', (socket: Socket) => void this.#admit(socket, halfOpen));
      server.on('tlsClientError', (error, socket) => {
        breaches.add('tls_handshake', { address: socket.remoteAddress ?? 'unknown', reason: error.message.slice(0, 100) });
        socket.destroy();
      });
      tls.serve(server);
    }
    this.#webSocketsOn(wss, loopback, wssHalfOpen);
    await this.#listen('mqtts', mqtts, config.MQTT_TLS_LISTEN_PORT, config.MQTT_TLS_LISTEN_HOST, 'MQTT_TLS_LISTEN_PORT');
    await this.#listen('wss', wss, config.MQTT_TLS_LISTEN_WS_PORT, config.MQTT_TLS_LISTEN_HOST, 'MQTT_TLS_LISTEN_WS_PORT');
  }

  async #listen(name: ListenerName, server: AnyServer, port: number, host: string, setting: string): Promise<void> {
    try {
      await listen(server, port, host);
    } catch (error) {
      throw listenError(error, setting, `${host}:${port}`);
    }
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
    this.#admission.closeAll();
    for (const socket of this.#services) socket.destroy();
    await this.#closed;
  }
}
