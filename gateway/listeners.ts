/** Where clients come in: MQTT over TCP and over WebSocket. */
import { createServer as createHttpServer, type IncomingMessage, type Server as HttpServer } from 'node:http';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { createWebSocketStream, WebSocketServer } from 'ws';
import type { Config } from '../service/config.ts';
import { listenError } from '../service/errors.ts';
import type { Breaches } from './breaches.ts';
import { addresses, type Broker } from './broker.ts';
import { GuardedConnection } from './guarded-connection.ts';

export interface ListenersOptions {
  config: Config;
  broker: Broker;
  breaches: Breaches;
}

/** A page of another site must not speak to this broker through its visitor's browser. */
function originAllowed(request: IncomingMessage): boolean {
  const origin = request.headers.origin;
  if (origin === undefined) return true;
  try {
    const from = new URL(origin).hostname;
    const host = new URL(`http://${request.headers.host ?? ''}`).hostname;
    return from === host;
  } catch {
    return false;
  }
}

async function listen(server: Server | HttpServer, port: number, host: string, setting: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const failed = (error: Error): void => reject(listenError(error, setting, `${host}:${port}`));
    server.once('error', failed);
    server.listen(port, host, () => {
      server.off('error', failed);
      resolve();
    });
  });
}

export class Listeners {
  readonly #options: ListenersOptions;
  readonly #perAddress = new Map<string, number>();
  readonly #open = new Set<Duplex>();
  #tcp: Server | undefined;
  #http: HttpServer | undefined;
  #webSockets: WebSocketServer | undefined;

  constructor(options: ListenersOptions) {
    this.#options = options;
  }

  get mqttPort(): number {
    return (this.#tcp?.address() as AddressInfo | null | undefined)?.port ?? 0;
  }

  get wsPort(): number {
    return (this.#http?.address() as AddressInfo | null | undefined)?.port ?? 0;
  }

  #admit(address: string): boolean {
    const { config, breaches } = this.#options;
    const count = this.#perAddress.get(address) ?? 0;
    if (this.#open.size >= config.MQTT_MAX_CONNECTIONS) {
      breaches.add('connections', { address });
      return false;
    }
    if (count >= config.MQTT_MAX_CONNECTIONS_PER_ADDRESS) {
      breaches.add('connections_per_address', { address });
      return false;
    }
    return true;
  }

  #take(stream: Duplex, address: string, request?: IncomingMessage): void {
    const { config, breaches, broker } = this.#options;
    if (!this.#admit(address)) {
      stream.destroy();
      return;
    }
    this.#open.add(stream);
    this.#perAddress.set(address, (this.#perAddress.get(address) ?? 0) + 1);
    stream.once('close', () => {
      this.#open.delete(stream);
      const left = (this.#perAddress.get(address) ?? 1) - 1;
      if (left <= 0) this.#perAddress.delete(address);
      else this.#perAddress.set(address, left);
    });
    const guarded = new GuardedConnection(stream, {
      maxPacketBytes: config.MQTT_MAX_PACKET_BYTES,
      onTooLarge: (announcedBytes) => breaches.add('packet_bytes', { address, announced_bytes: announcedBytes }),
      maxBacklogBytes: config.MQTT_MAX_BACKLOG_BYTES,
      onBacklog: (bytes) => breaches.add('backlog', { address, bytes }),
    });
    guarded.on('error', () => {});
    addresses.set(guarded, address);
    broker.aedes.handle(guarded, request);
  }

  /** Throws HrError `port_in_use`. */
  async start(): Promise<void> {
    const { config } = this.#options;
    this.#tcp = createServer({ noDelay: true }, (socket: Socket) => this.#take(socket, socket.remoteAddress ?? 'unknown'));
    await listen(this.#tcp, config.MQTT_LISTEN_PORT, config.MQTT_LISTEN_HOST, 'MQTT_LISTEN_PORT');
    this.#http = createHttpServer((_request, response) => response.writeHead(426, { Connection: 'close' }).end('MQTT over WebSocket only\n'));
    this.#webSockets = new WebSocketServer({
      server: this.#http,
      maxPayload: config.MQTT_MAX_PACKET_BYTES + 1024,
      perMessageDeflate: false,
      handleProtocols: (protocols) => (protocols.has('mqtt') ? 'mqtt' : false),
      verifyClient: ({ req }: { req: IncomingMessage }) => {
        if (originAllowed(req)) return true;
        this.#options.breaches.add('origin', { origin: String(req.headers.origin).slice(0, 100) });
        return false;
      },
    });
    this.#webSockets.on('connection', (socket, request) => {
      socket.on('error', () => {});
      this.#take(createWebSocketStream(socket), request.socket.remoteAddress ?? 'unknown', request);
    });
    this.#webSockets.on('error', () => {});
    await listen(this.#http, config.MQTT_LISTEN_WS_PORT, config.MQTT_LISTEN_HOST, 'MQTT_LISTEN_WS_PORT');
  }

  /** Takes no one in any more; ends who is there. */
  async stop(): Promise<void> {
    const closed = [this.#tcp, this.#http].map(async (server) => {
      if (server?.listening === true) await new Promise<void>((resolve) => server.close(() => resolve()));
    });
    for (const client of this.#webSockets?.clients ?? []) client.terminate();
    this.#webSockets?.close();
    for (const stream of this.#open) stream.destroy();
    this.#http?.closeAllConnections();
    await Promise.all(closed);
  }
}
