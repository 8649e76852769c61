/**
 * What clients other than the operator may use of this server: connections, requests and failed logins. Counts what was refused by client,
 * and names in a health check the one that asks for too much. The operator is exempt.
 */
import type { IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { HrError } from '../service/errors/errors.ts';
import { okCheck, warning, type CheckReport } from '../service/health/check-report.ts';
import { RepeatLimiter, type Logger } from '../service/log/log.ts';
import { Counter } from '../service/metrics/metrics.ts';
import { networkOf } from '../service/network/client-address.ts';
import { ConnectionLimits } from '../service/network/connection-limits.ts';

const CONNECTIONS_MAX = 512;
/** More than the pages that may be open: behind Docker all clients have one address. */
const CONNECTIONS_PER_ADDRESS_MAX = 320;
const OPERATOR_CONNECTIONS_MAX = 128;
/**
 * A request costs 1, and 1 more for each 10 KiB of its answer: a page with fifty straps costs some 1,500 when it is opened, and 300 KiB of
 * readings take a few milliseconds of CPU.
 */
const COST_PER_SECOND = 200;
const COST_MAX = 3000;
const BYTES_PER_COST = 10 * 1024;
/** A wrong token costs as much as 20 requests. */
const WRONG_TOKEN_COST = 20;
/** A client that is over its budget waits so long for each refusal: it may ask again at once, and a request costs more than waiting. */
const REFUSED_AFTER_MS = 1000;
const CLIENTS_MAX = 1000;
/** For how long a client is named after its last refusal, and how many refusals in this time it takes. */
const NAMED_MS = 60_000;
const NAMED_FROM = 10;

/** Runs a check of this file. What it refuses is refused after a while. */
export async function refuseLater(check: () => void): Promise<void> {
  try {
    check();
  } catch (error) {
    if (error instanceof HrError && error.code === 'too_many_requests') await sleep(REFUSED_AFTER_MS);
    throw error;
  }
}

type Refusal = 'connections' | 'requests' | 'logins';
/** The page's own files have a budget of their own: a client that floods the API must not keep the page from being loaded. */
export type Budget = 'api' | 'page';

interface Client {
  left: Record<Budget, number>;
  refilledAtMs: number;
  refused: Record<Refusal, number>;
  refusedSinceMs: number;
}

export class HttpClients {
  readonly #repeats: RepeatLimiter;
  readonly #now: () => number;
  /** The one seen last is at the end. */
  readonly #clients = new Map<string, Client>();
  readonly #limits: ConnectionLimits;
  readonly #refused = new Counter('hr_gateway_http_refused_total', 'Refused HTTP connections, requests and logins');

  /** `now` returns milliseconds of a monotonic clock. */
  constructor(log: Logger, now: () => number = () => performance.now()) {
    this.#repeats = new RepeatLimiter(log);
    this.#now = now;
    this.#limits = new ConnectionLimits({
      total: CONNECTIONS_MAX,
      perAddress: CONNECTIONS_PER_ADDRESS_MAX,
      protectedMax: OPERATOR_CONNECTIONS_MAX,
      onClosed: (client) => this.#count(client, 'connections'),
      onDelayed: (client) => this.#count(client, 'connections'),
    });
    for (const what of ['connections', 'requests', 'logins'] as const) this.#refused.add(0, { what });
  }

  /** Call it before the server listens. */
  attach(server: Parameters<ConnectionLimits['attach']>[0]): void {
    this.#limits.attach(server);
  }

  /** The operator's connection is not closed for a limit. */
  protect(request: IncomingMessage): void {
    this.#limits.protect(request);
  }

  /** Throws HrError `too_many_requests` if the client's budget is used up, or nobody reads the answers. */
  admit(request: IncomingMessage, budget: Budget): void {
    const name = networkOf(request.socket.remoteAddress);
    const client = this.#client(name);
    if (client.left[budget] < 1 || this.#limits.isExhausted) {
      this.#count(name, 'requests');
      throw new HrError('too_many_requests', { operation: 'accept a request', detail: `from ${name}` });
    }
    client.left[budget] -= 1;
  }

  /** A request was refused for another reason: its Host or Origin, the size of its body, or too many event streams. */
  refusedOtherwise(request: IncomingMessage): void {
    this.#count(networkOf(request.socket.remoteAddress), 'requests');
  }

  /** Charges for an answer of this many bytes. */
  answered(request: IncomingMessage, budget: Budget, bytes: number): void {
    this.#client(networkOf(request.socket.remoteAddress)).left[budget] -= bytes / BYTES_PER_COST;
  }

  /** A wrong token. Throws HrError `too_many_requests` if the client's budget is used up; a right one is accepted nevertheless. */
  wrongToken(request: IncomingMessage): void {
    const name = networkOf(request.socket.remoteAddress);
    const client = this.#client(name);
    this.#count(name, 'logins');
    if (client.left.api < WRONG_TOKEN_COST)
      throw new HrError('too_many_requests', { operation: 'log in', detail: `too many wrong tokens from ${name}` });
    client.left.api -= WRONG_TOKEN_COST;
  }

  /** Names the client with the most refusals. */
  check(): CheckReport {
    const sinceMs = this.#now() - NAMED_MS;
    let named: { name: string; client: Client; total: number } | undefined;
    for (const [name, client] of this.#clients) {
      const { connections, requests, logins } = client.refused;
      const total = connections + requests + logins;
      if (client.refusedSinceMs > sinceMs && total >= NAMED_FROM && total > (named?.total ?? 0)) named = { name, client, total };
    }
    if (named === undefined) return okCheck('HTTP clients');
    const { connections, requests, logins } = named.client.refused;
    return warning(
      'HTTP clients',
      'http_client_over_limit',
      `${named.name}: closed or delayed ${connections} connections, refused ${requests} requests and ${logins} wrong tokens`,
    );
  }

  get refused(): Counter {
    return this.#refused;
  }

  #client(name: string): Client {
    const nowMs = this.#now();
    let client = this.#clients.get(name);
    if (client === undefined) {
      client = {
        left: { api: COST_MAX, page: COST_MAX },
        refilledAtMs: nowMs,
        refused: { connections: 0, requests: 0, logins: 0 },
        refusedSinceMs: Number.NEGATIVE_INFINITY,
      };
      const oldest = this.#clients.keys().next().value;
      if (this.#clients.size >= CLIENTS_MAX && oldest !== undefined) this.#clients.delete(oldest);
    } else this.#clients.delete(name);
    this.#clients.set(name, client);
    const refill = ((nowMs - client.refilledAtMs) * COST_PER_SECOND) / 1000;
    client.refilledAtMs = nowMs;
    for (const budget of ['api', 'page'] as const) client.left[budget] = Math.min(COST_MAX, client.left[budget] + refill);
    return client;
  }

  #count(name: string, what: Refusal): void {
    const client = this.#client(name);
    const nowMs = this.#now();
    if (nowMs - client.refusedSinceMs > NAMED_MS) client.refused = { connections: 0, requests: 0, logins: 0 };
    client.refusedSinceMs = nowMs;
    client.refused[what] += 1;
    this.#refused.add(1, { what });
    this.#repeats.warn(`${what} ${name}`, { event: 'http_client_limited', client: name, what }, 'limiting an HTTP client');
  }
}
