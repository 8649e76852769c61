/**
 * Kinesis' protocols, JSON 1.1 and CBOR 1.1 over HTTP/1 and HTTP/2, behind checks of Host and Origin, limits of connections and bodies, and
 * the fault hooks.
 */
import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { LOCAL_STREAM_FILE, LOCAL_STREAM_REASON_HEADER, type LocalStreamStatus } from '../contract/local-stream-status.ts';
import { isOwnHost } from '../service/network/addresses.ts';
import { networkOf } from '../service/network/client-address.ts';
import { ConnectionLimits, HTTP_TIME_LIMITS, SILENT_CONNECTION_MS } from '../service/network/connection-limits.ts';
import { BodyBudget } from './body-budget.ts';
import { errorOfFault, hasPoison, type Faults } from './faults.ts';
import { FileUnusable, fileTroubleOf } from './file-trouble.ts';
import { KinesisError } from './kinesis-error.ts';
import { LimitedClients } from './limited-clients.ts';
import type { Operations } from './operations.ts';
import { Http2Front } from './wire/http2-front.ts';
import { json, wireOf, type Wire } from './wire/wire.ts';

/** The service's name in docker-compose.yml. */
const COMPOSE_NAME = 'local-kinesis';
const CONNECTIONS_MAX = 256;
const CONNECTIONS_PER_ADDRESS_MAX = 192;
/** Connections that a completed Kinesis request protects: those of the forwarder, which is the first to send one. */
const PROTECTED_MAX = 64;
const TARGET_PREFIX = 'Kinesis_20131202.';

export interface StreamServerOptions {
  /** Names that the Host header may have, besides localhost and addresses. */
  hosts: readonly string[];
  operations: Operations;
  faults: Faults;
  faultHooks: boolean;
  /** Why nothing can be answered now, because the file cannot be used; undefined if it can. */
  unavailable: () => string | undefined;
  onError: (error: unknown) => void;
  /** A connection was closed, or an unfinished body dropped, for a limit. */
  onLimited: (client: string, what: 'connections' | 'bodies') => void;
}

/**
 * A name that another site's owner could point at this address (DNS rebinding) is refused, and so is every request of another site's page.
 * Throws KinesisError AccessDeniedException.
 */
function checkSender({ headers }: IncomingMessage, hosts: readonly string[]): void {
  const { origin } = headers;
  // HTTP/2 has a pseudo header instead.
  const host = headers.host ?? authorityOf(headers);
  if (!isOwnHost(host, hosts))
    throw new KinesisError(
      'AccessDeniedException',
      `The local stream does not answer to the host name ${(host ?? '').slice(0, 100)}: see LOCAL_KINESIS_ALLOWED_HOSTS.`,
      403,
    );
  if (origin !== undefined && !isSameOrigin(origin, host))
    throw new KinesisError('AccessDeniedException', 'A page of another site asks for this.', 403);
}

function authorityOf(headers: IncomingMessage['headers']): string | undefined {
  const authority = headers[':authority'];
  return typeof authority === 'string' ? authority : undefined;
}

function isSameOrigin(origin: string, host: string | undefined): boolean {
  try {
    return new URL(origin).host === host?.toLowerCase();
  } catch {
    return false;
  }
}

export class StreamServer {
  readonly #options: StreamServerOptions;
  readonly #server: Server;
  readonly #limits: ConnectionLimits;
  readonly #bodies: BodyBudget;
  readonly #limited = new LimitedClients();
  readonly #http2: Http2Front;
  #refusing: NodeJS.Timeout | undefined;

  constructor(options: StreamServerOptions) {
    this.#options = options;
    this.#server = createServer(HTTP_TIME_LIMITS, (request, response) => void this.#handle(request, response));
    this.#http2 = new Http2Front(this.#server);
    this.#server.timeout = SILENT_CONNECTION_MS;
    this.#limits = new ConnectionLimits({
      total: CONNECTIONS_MAX,
      perAddress: CONNECTIONS_PER_ADDRESS_MAX,
      protectedMax: PROTECTED_MAX,
      onClosed: (client) => this.#limit(client, 'connections'),
      onDelayed: (client) => this.#limit(client, 'connections'),
    });
    this.#bodies = new BodyBudget(({ socket }) => this.#limit(networkOf(socket.remoteAddress), 'bodies'));
    this.#limits.attach(this.#server);
  }

  get port(): number {
    return (this.#server.address() as AddressInfo | null)?.port ?? 0;
  }

  #limit(client: string, what: 'connections' | 'bodies'): void {
    this.#limited.note(client, what);
    this.#options.onLimited(client, what);
  }

  /** Throws KinesisError while too many clients do not read their answers. */
  #checkUnread(request: IncomingMessage): void {
    if (!this.#limits.isExhausted || this.#limits.isProtected(request)) return;
    this.#limit(networkOf(request.socket.remoteAddress), 'connections');
    throw new KinesisError('InternalFailure', 'Too many answers are not read by their clients.', 503);
  }

  #status(): LocalStreamStatus {
    const limited = this.#limited.worst();
    return { status: 'ok', ...(limited === undefined ? {} : { limited }) };
  }

  async listen(host: string, port: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, host, () => {
        this.#server.off('error', reject);
        resolve();
      });
    });
  }

  async close(): Promise<void> {
    clearTimeout(this.#refusing);
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
      this.#http2.closeAllConnections();
    });
  }

  #answer(
    response: ServerResponse,
    status: number,
    body: object,
    form: { wire?: Wire; headers?: Record<string, string> } = {},
  ): void {
    const { wire = json, headers = {} } = form;
    const bytes = wire.encode(body);
    const offset = this.#options.faults.clockOffsetMs;
    response.writeHead(status, {
      'Content-Type': wire.contentType,
      'Content-Length': bytes.length,
      'x-amzn-RequestId': randomUUID(),
      // Of this instant: Node's own is up to a second old while the thread is busy.
      Date: new Date(Date.now() + offset).toUTCString(),
      ...headers,
    });
    response.end(bytes);
  }

  #answerError(response: ServerResponse, error: unknown, wire: Wire): void {
    if (response.destroyed || response.headersSent) return;
    if (error instanceof KinesisError)
      return this.#answer(response, error.status, { __type: error.type, message: error.message }, { wire });
    const isReported = error instanceof FileUnusable;
    if (!isReported) this.#options.onError(error);
    const detail = isReported ? error.message : fileTroubleOf(error);
    const headers = detail === undefined ? {} : { [LOCAL_STREAM_REASON_HEADER]: LOCAL_STREAM_FILE };
    this.#answer(response, 500, { __type: 'InternalFailure', message: detail ?? 'Internal service failure.' }, { wire, headers });
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on('error', () => {});
    let wire = json;
    try {
      checkSender(request, [COMPOSE_NAME, ...this.#options.hosts]);
      if (request.method === 'GET') return this.#answer(response, 200, this.#status());
      this.#checkUnread(request);
      const body = await this.#bodies.read(request);
      if (request.url === '/control/faults') return this.#control(response, body.toString());
      wire = wireOf(request.headers['content-type']);
      const unavailable = this.#options.unavailable();
      if (unavailable !== undefined) throw new FileUnusable(unavailable);
      if (this.#options.faults.latencyMs > 0) await sleep(this.#options.faults.latencyMs);
      const target = String(request.headers['x-amz-target'] ?? '');
      if (!target.startsWith(TARGET_PREFIX))
        throw new KinesisError('UnknownOperationException', 'X-Amz-Target does not name a Kinesis operation.');
      const operation = target.slice(TARGET_PREFIX.length);
      const fault = this.#options.faults.requestFault();
      if (fault !== undefined && this.#applyFault(fault, response, { body, wire })) return;
      const result = await this.#options.operations.run(operation, wire.decode(body), wire);
      this.#limits.protect(request);
      if (fault === 'halfBody' || fault === 'stalledBody') return this.#cutBody(fault, response, wire.encode(result));
      this.#answer(response, 200, result, { wire });
    } catch (error) {
      this.#answerError(response, error, wire);
    }
  }

  #control(response: ServerResponse, body: string): void {
    if (!this.#options.faultHooks)
      throw new KinesisError('AccessDeniedException', 'Fault hooks are off: LOCAL_KINESIS_FAULTS is not true.', 403);
    this.#options.faults.set(body);
    this.#answer(response, 200, {});
    if (this.#options.faults.refuseConnectionsMs > 0) response.once('close', () => this.#refuseConnections());
  }

  /** Closes all connections, and stops listening for the configured time. */
  #refuseConnections(): void {
    const { address, port } = this.#server.address() as AddressInfo;
    this.#server.close();
    this.#server.closeAllConnections();
    this.#http2.closeAllConnections();
    this.#refusing = setTimeout(() => this.#server.listen(port, address), this.#options.faults.refuseConnectionsMs);
  }

  /** Applies a whole-request fault. False if the request is processed nevertheless (only its answer may be cut). */
  #applyFault(fault: string, response: ServerResponse, { body, wire }: { body: Buffer; wire: Wire }): boolean {
    if (fault === 'connectionReset') {
      response.socket?.resetAndDestroy();
      return true;
    }
    if (fault === 'rejectPoison') {
      if (!hasPoison(wire.decode(body), wire)) return false;
      throw new KinesisError('ValidationException', 'A record is refused (injected).');
    }
    const error = errorOfFault(fault);
    if (error === undefined) return false;
    this.#answer(
      response,
      error.status,
      { __type: error.type, message: error.message },
      { wire, headers: fault === 'retryAfter' ? { 'Retry-After': '2' } : {} },
    );
    return true;
  }

  /** Sends half of the answer: the records are stored, but the sender does not know. */
  #cutBody(fault: string, response: ServerResponse, answer: Buffer): void {
    response.writeHead(200, { 'Content-Type': json.contentType, 'Content-Length': answer.length });
    response.write(answer.subarray(0, answer.length / 2));
    if (fault === 'halfBody') setImmediate(() => response.socket?.destroy());
  }
}
