/**
 * HTTP/2 without TLS on the port of an HTTP/1 server: AWS' asynchronous client for Java, and with it the KCL, opens every connection to an
 * `http://` endpoint with HTTP/2's preface. The first bytes of a connection decide; requests of both kinds reach the same listener.
 */
import { createServer, type Http2Server, type ServerHttp2Session } from 'node:http2';
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { HTTP_TIME_LIMITS } from '../../service/network/connection-limits.ts';

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n');
/** So many bytes of a request tell the preface from HTTP/1's methods. */
const DECIDING_BYTES = 3;
/** A session on which nothing was sent or received. */
const SILENT_MS = 60_000;

export class Http2Front {
  readonly #http2: Http2Server;
  /** Connections that HTTP/1's server does not know: undecided ones and those of HTTP/2. */
  readonly #own = new Set<Socket>();

  /** Call it before other listeners are added to the server. */
  constructor(http1: Server) {
    this.#http2 = createServer({ settings: { maxConcurrentStreams: 100 } });
    this.#http2.on('request', (request, response) => void http1.emit('request', request, response));
    this.#http2.on('sessionError', () => {});
    this.#http2.on('session', (session: ServerHttp2Session) => {
      session.on('error', () => {});
      session.setTimeout(SILENT_MS, () => session.destroy());
    });
    const listeners = http1.listeners('connection');
    http1.removeAllListeners('connection');
    http1.on('connection', (socket: Socket) =>
      this.#decide(socket, () => {
        for (const listener of listeners) Reflect.apply(listener, http1, [socket]);
      }),
    );
  }

  #decide(socket: Socket, toHttp1: () => void): void {
    this.#own.add(socket);
    socket.setTimeout(HTTP_TIME_LIMITS.headersTimeout, () => socket.destroy());
    const ignored = (): void => {};
    socket.on('error', ignored);
    socket.once('close', () => this.#own.delete(socket));
    let head = Buffer.alloc(0);
    const read = (): void => {
      const chunk = socket.read() as Buffer | null;
      if (chunk === null) return;
      head = Buffer.concat([head, chunk]);
      const isPreface = PREFACE.subarray(0, head.length).equals(head.subarray(0, PREFACE.length));
      if (isPreface && head.length < DECIDING_BYTES) return;
      socket.off('readable', read);
      socket.setTimeout(0);
      socket.removeAllListeners('timeout');
      socket.unshift(head);
      if (isPreface) return void this.#http2.emit('connection', socket);
      socket.off('error', ignored);
      this.#own.delete(socket);
      toHttp1();
    };
    socket.on('readable', read);
  }

  /** Closes what `http1.closeAllConnections` does not close. */
  closeAllConnections(): void {
    for (const socket of this.#own) socket.destroy();
  }
}
