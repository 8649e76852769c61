/**
 * The broker's listeners: MQTT over TCP and over WebSocket, and both over TLS if there is a certificate; and one for the services of this
 * box, with a queue and places of its own, so that other clients, however many, cannot keep the services out.
 */
import {
  createServer as createHttpServer,
  type IncomingMessage,
  type Server as HttpServer,
  type ServerResponse,
} from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { createServer as createTlsServer } from 'node:tls';
import { createWebSocketStream, WebSocketServer } from 'ws';
import { hostOf, isLoopback, isOwnHost } from '../service/network/addresses.ts';
import type { Config } from '../service/config/config.ts';
import { listenError, systemCodeOf } from '../service/errors/errors.ts';
import { SETTINGS } from '../service/config/settings.ts';
import type { Logger } from '../service/log/log.ts';
import type { TlsFiles } from '../service/network/tls-files.ts';
import { whenItSends } from '../service/network/first-bytes.ts';
import { resetSocket } from '../service/network/reset-socket.ts';
import { connectionKey } from '../service/network/unread-bytes.ts';
import type { Peer } from './identity.ts';
import type { Limit } from './breach-kinds.ts';
import type { Breaches } from './breaches.ts';
import type { ClientLimits } from './client-limits.ts';
import type { Broker } from './broker.ts';
import { AbandonedConnections } from './abandoned-connections.ts';
import { Admission, HalfOpen, type HalfOpenLimits } from './admission.ts';
import type { GuardedConnection } from './guarded-connection.ts';
import { Latecomers } from './latecomers.ts';
import { watchFrames } from './websocket-frames.ts';

/** A connection that was accepted and has sent something. */
interface Arrival {
  peer: Peer;
  /** Ends the time limit of what comes before the broker. */
  stopLimit: () => void;
}

export interface ListenersOptions {
  config: Config;
  log: Logger;
  broker: Broker;
  breaches: Breaches;
  limits: ClientLimits;
  /** Certificate and key, if the broker serves TLS. */
  tls: TlsFiles | undefined;
}

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
/** Node checks time limits only of a server that listens; here the limit of the login includes them. */
const HTTP = { maxHeaderSize: 8192 } as const;
/** Node takes the socket over from here on. */
const WITH_TLS: ReadonlySet<ListenerName> = new Set(['mqtts', 'wss']);
/** A client may close its side and not read: GuardedConnection, not Node, decides how its connection ends. */
const ENDS_LATER = { allowHalfOpen: true } as const;
/** Of one message; each costs memory that nothing counts until the message is complete. */
const FRAGMENTS_MAX = 1000;
/** What is wrong with WebSocket frames, by the code of the error of ws; anything else is no WebSocket. */
const FAULTS_OF_FRAMES: ReadonlyMap<string, Limit> = new Map([
  ['WS_ERR_UNSUPPORTED_MESSAGE_LENGTH', 'packet_bytes'],
  ['WS_ERR_TOO_MANY_BUFFERED_PARTS', 'packet_bytes'],
]);
/** The first byte of a CONNECT (MQTT 3.1.1 section 3.1.1). */
const CONNECT = 0x10;

async function listen(server: Server, port: number, host: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, host, backlog: ACCEPT_QUEUE }, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

const portOf = (server: Server | undefined): number => (server?.address() as AddressInfo | null | undefined)?.port ?? 0;
const upgradeRequired = (_request: IncomingMessage, response: ServerResponse): void =>
  void response.writeHead(426, { Connection: 'close' }).end('MQTT over WebSocket only\n');

export class Listeners {
  readonly #options: ListenersOptions;
  readonly #admission: Admission;
  readonly #abandoned: AbandonedConnections;
  readonly #sockets = new Set<Socket>();
  readonly #latecomers: Latecomers[] = [];
  /** Of the listeners whose connections are counted by `#admission`. */
  readonly #halfOpens: HalfOpen[] = [];
  /** Connections that were accepted and have sent something, by `connectionKey`. */
  readonly #arrivals = new Map<string, Arrival>();
  readonly #servers: { name: ListenerName; host: string; server: Server }[] = [];
  readonly #webSockets: WebSocketServer[] = [];
  #closed: Promise<unknown> | undefined;

  constructor(options: ListenersOptions) {
    this.#options = options;
    const { config, breaches, limits } = options;
    const makeRoom = (network?: string): boolean => this.#makeRoom(network);
    this.#abandoned = new AbandonedConnections(breaches);
    this.#admission = new Admission({ connections: config.MQTT_MAX_CONNECTIONS, makeRoom, breaches, limits });
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

  #halfOpen(limits: HalfOpenLimits): HalfOpen {
    return new HalfOpen(limits, (address) => this.#options.breaches.add('half_open', { address }));
  }

  /** On the listener where a network has most half-open connections. */
  #makeRoom(network?: string): boolean {
    let best: { halfOpen: HalfOpen; network: string; count: number } | undefined;
    for (const halfOpen of this.#halfOpens) {
      const entry = network === undefined ? halfOpen.most : { network, count: halfOpen.countOf(network) };
      if (entry.count > (best?.count ?? 0)) best = { halfOpen, ...entry };
    }
    return best?.halfOpen.evictOf(best.network) === true;
  }

  /** Of a TLS socket or a WebSocket's request, which have addresses and ports of the accepted socket; undefined once that is closed. */
  #arrivalOf(socket: Socket): Arrival | undefined {
    return this.#arrivals.get(connectionKey(socket));
  }

  /** From here on the broker's own time limit counts. */
  #take(stream: Duplex, { peer, stopLimit }: Arrival, request?: IncomingMessage): GuardedConnection {
    stopLimit();
    const { broker } = this.#options;
    const guarded: GuardedConnection = broker.guarded(stream, {
      peer,
      onTooLarge: (announcedBytes) => broker.breached(guarded, 'packet_bytes', { announced_bytes: announcedBytes }),
    });
    broker.handle(guarded, request);
    return guarded;
  }

  #webSocketsOn(server: HttpServer): void {
    const { config, breaches, broker } = this.#options;
    const webSockets = new WebSocketServer({
      server,
      maxPayload: config.MQTT_MAX_PACKET_BYTES + 1024,
      perMessageDeflate: false,
      maxFragments: FRAGMENTS_MAX,
      handleProtocols: (protocols) => (protocols.has('mqtt') ? 'mqtt' : false),
      verifyClient: ({ req }: { req: IncomingMessage }) => {
        if (originAllowed(req, [config.MQTT_LISTEN_HOST, config.MQTT_TLS_LISTEN_HOST, ...config.MQTT_ALLOWED_HOSTS])) return true;
        breaches.add('origin', {
          address: req.socket.remoteAddress ?? 'unknown',
          origin: String(req.headers.origin).slice(0, 100),
        });
        return false;
      },
    });
    webSockets.on('connection', (socket, request) => {
      socket.on('error', () => {});
      const arrival = this.#arrivalOf(request.socket);
      if (arrival === undefined) return socket.terminate();
      // Before ws closes it in order: the client may have closed its side only, and not read.
      request.socket.prependListener('end', () => arrival.peer.reset?.());
      const guarded = this.#take(createWebSocketStream(socket, { readableHighWaterMark: 1 }), arrival, request);
      watchFrames(request.socket, {
        onFrames: (count) => guarded.takeFrames(count),
        onFlood: () => broker.endFlood(guarded, 'websocket_frames'),
      });
      socket.on('error', (error: Error & { code?: string }) => {
        const { code = '' } = error;
        if (!code.startsWith('WS_ERR_')) return;
        const limit = FAULTS_OF_FRAMES.get(code) ?? 'protocol';
        broker.breached(guarded, limit, { reason: error.message.slice(0, 100) });
      });
    });
    webSockets.on('error', () => {});
    this.#webSockets.push(webSockets);
  }

  /** Throws HrError `port_in_use`, `certificate_unusable`. */
  async start(): Promise<void> {
    const { config, tls } = this.#options;
    await this.#startServices();
    const { MQTT_LISTEN_HOST: host } = config;
    await this.#listen('mqtt', { host, port: config.MQTT_LISTEN_PORT, setting: 'MQTT_LISTEN_PORT' }, (socket, arrival) =>
      this.#take(socket, arrival),
    );
    const web = createHttpServer(HTTP, upgradeRequired);
    this.#webSocketsOn(web);
    await this.#listen('ws', { host, port: config.MQTT_LISTEN_WS_PORT, setting: 'MQTT_LISTEN_WS_PORT' }, (socket) =>
      web.emit('connection', socket),
    );
    if (tls !== undefined) await this.#startTls(tls);
  }

  /** As whenItSends, and counts a connection that sends nothing. */
  #whenItSends(socket: Socket, limitMs: number, take: (first: Buffer) => void): () => void {
    this.#sockets.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => this.#sockets.delete(socket));
    const { remoteAddress: address = 'unknown' } = socket;
    return whenItSends(socket, {
      limitMs,
      onLimit: () => this.#options.breaches.add('connect_timeout', { address }),
      take: (first) => {
        socket.setNoDelay(true);
        take(first);
      },
    });
  }

  /** The listener for the services of this box: only their keys are accepted. What sends nothing makes room for what comes later. */
  async #startServices(): Promise<void> {
    const { config, log } = this.#options;
    const halfOpen = this.#halfOpen({ max: SERVICES_HALF_OPEN, graceMs: 0 });
    const server = createServer((socket) => {
      const address = socket.remoteAddress;
      // The client has reset it already.
      if (address === undefined) {
        this.#abandoned.add();
        return void socket.destroy();
      }
      halfOpen.add(socket);
      const settle = this.#abandoned.watch(socket, address);
      const key = connectionKey(socket);
      const stop = this.#whenItSends(socket, SERVICES_CONNECT_MS, (first) => {
        if (first[0] !== CONNECT) {
          this.#options.breaches.add('protocol', { address });
          return resetSocket(socket);
        }
        const onLogin = (): void => {
          stop();
          halfOpen.done(address, key);
        };
        const onLoginStage = (stage: 'login' | 'refused'): void => {
          settle();
          halfOpen.reached(stage, address, key);
        };
        const peer = { address, loopback: false, servicesOnly: true, onLoginStage, onLogin };
        this.#take(socket, { peer, stopLimit: () => undefined });
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

  async #startTls(tls: TlsFiles): Promise<void> {
    const { config, breaches, limits } = this.#options;
    const secure = { ...tls.start(), handshakeTimeout: limits.connectTimeoutMs };
    const mqtts = createTlsServer(secure, (socket) => {
      const arrival = this.#arrivalOf(socket);
      if (arrival === undefined) return void socket.destroy();
      this.#take(socket, arrival);
    });
    const wss = createHttpsServer({ ...HTTP, ...secure }, upgradeRequired);
    for (const server of [mqtts, wss]) {
      server.on('tlsClientError', (error, socket) => {
        breaches.add('tls_handshake', { address: socket.remoteAddress ?? 'unknown', reason: error.message.slice(0, 100) });
        socket.destroy();
      });
      tls.serve(server);
    }
    this.#webSocketsOn(wss);
    const { MQTT_TLS_LISTEN_HOST: host } = config;
    await this.#listen('mqtts', { host, port: config.MQTT_TLS_LISTEN_PORT, setting: 'MQTT_TLS_LISTEN_PORT' }, (socket) =>
      mqtts.emit('connection', socket),
    );
    await this.#listen('wss', { host, port: config.MQTT_TLS_LISTEN_WS_PORT, setting: 'MQTT_TLS_LISTEN_WS_PORT' }, (socket) =>
      wss.emit('connection', socket),
    );
  }

  /** `take` is called with each connection that was accepted, and is paused. */
  async #listen(
    name: ListenerName,
    { host, port, setting }: { host: string; port: number; setting: string },
    take: (socket: Socket, arrival: Arrival) => void,
  ): Promise<void> {
    const { breaches, limits } = this.#options;
    const halfOpen = this.#halfOpen({ max: limits.halfOpen, graceMs: HALF_OPEN_GRACE_MS });
    this.#halfOpens.push(halfOpen);
    const loopback = isLoopback(host);
    const arrived = (socket: Socket): void => {
      halfOpen.add(socket);
      const settle = this.#abandoned.watch(socket, socket.remoteAddress ?? 'unknown');
      const stopLimit = this.#whenItSends(socket, limits.connectTimeoutMs, () => {
        const { remoteAddress: address = 'unknown' } = socket;
        const connection = connectionKey(socket);
        const onLogin = (): void => halfOpen.done(address, connection);
        const onLoginStage = (stage: 'login' | 'refused'): void => {
          settle();
          halfOpen.reached(stage, address, connection);
        };
        const reset = (): void => resetSocket(socket);
        const arrival = { peer: { address, loopback, connection, onLoginStage, onLogin, reset }, stopLimit };
        this.#arrivals.set(connection, arrival);
        socket.once('close', () => {
          if (this.#arrivals.get(connection) === arrival) this.#arrivals.delete(connection);
        });
        // What fails from here on is a TLS handshake, and counted as one.
        if (WITH_TLS.has(name)) settle();
        take(socket, arrival);
        if (!WITH_TLS.has(name)) socket.resume();
      });
    };
    const latecomers = new Latecomers({
      onRefused: (address) => breaches.add('connect_rate', { address }),
      onAccepted: (socket) => {
        if (!this.#admission.admitLate(socket)) return;
        arrived(socket);
        socket.resume();
      },
    });
    this.#latecomers.push(latecomers);
    const server = createServer(ENDS_LATER, (socket) => {
      const verdict = this.#admission.admit(socket);
      if (verdict === 'reset') this.#abandoned.add();
      else if (verdict === 'accepted') arrived(socket);
      else if (verdict === 'late') latecomers.add(socket);
    });
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
    for (const latecomers of this.#latecomers) latecomers.stop();
    for (const socket of this.#sockets) socket.destroy();
    await this.#closed;
  }
}
