/** Who may read and who may change: the operator's token or a session, Host and Origin checks (design section 5). */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { isLoopback, isOwnHost } from '../service/network/addresses.ts';
import type { Config } from '../service/config/config.ts';
import { HrError } from '../service/errors/errors.ts';
import { Sessions } from './sessions.ts';

/** Holds a session's id. */
export const COOKIE = 'hr_gateway_session';
/** Held the token itself in 1.0.0: it is accepted no longer, and removed from the browser. */
export const OLD_COOKIE = 'hr_gateway_token';

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
const READS = new Set(['GET', 'HEAD', 'OPTIONS']);

/** What a request proves about who sent it. */
export type Proof = { kind: 'none' } | { kind: 'token' } | { kind: 'session'; key: string } | { kind: 'wrong' };

export class Access {
  readonly #config: Config;
  readonly #readToken: () => string;
  readonly #onEnd: (key: string) => void;
  readonly #sessions: Sessions;
  #token: Buffer = Buffer.alloc(0);

  /**
   * `readToken` returns the current token of DATA_DIR. `onEnd` is called for each session that ends, and with `token` if the token changes:
   * event streams that were opened with it are closed.
   */
  constructor(config: Config, readToken: () => string, onEnd: (key: string) => void) {
    this.#config = config;
    this.#readToken = readToken;
    this.#onEnd = onEnd;
    this.#sessions = new Sessions(onEnd);
  }

  /** Reads the token. Throws HrError `data_dir_unusable`. */
  start(): void {
    this.#token = digest(this.#readToken());
  }

  /** Ends expired sessions and, if the token has changed, all of them. Returns true if it has. Throws as `start` does. */
  refresh(): boolean {
    this.#sessions.endExpired();
    const token = digest(this.#readToken());
    if (timingSafeEqual(token, this.#token)) return false;
    this.#token = token;
    this.#sessions.endAll();
    this.#onEnd('token');
    return true;
  }

  isToken(text: string): boolean {
    return timingSafeEqual(digest(text), this.#token);
  }

  /** A valid session does not make up for a wrong token. */
  proofOf(request: FastifyRequest): Proof {
    const bearer = /^Bearer (.+)$/i.exec(request.headers.authorization ?? '')?.[1];
    if (bearer !== undefined) return { kind: this.isToken(bearer) ? 'token' : 'wrong' };
    const id = request.cookies[COOKIE];
    const key = id === undefined ? undefined : this.#sessions.keyOf(id);
    return key === undefined ? { kind: 'none' } : { kind: 'session', key };
  }

  /** The request carries the operator's token, or the cookie of a session. */
  isOperator(request: FastifyRequest): boolean {
    const { kind } = this.proofOf(request);
    return kind === 'token' || kind === 'session';
  }

  /** The id of a new session. */
  logIn(): string {
    return this.#sessions.begin();
  }

  /** Ends the session of this request, if it has one. */
  logOut(request: FastifyRequest): void {
    const id = request.cookies[COOKIE];
    if (id !== undefined) this.#sessions.end(id);
  }

  /** A foreign name that points at this address (DNS rebinding) is refused; so is a change that a page of another site asks for. */
  checkOrigin(request: FastifyRequest): void {
    const { host, origin } = request.headers;
    if (!isOwnHost(host, [this.#config.ADMIN_HOST, ...this.#config.ADMIN_ALLOWED_HOSTS]))
      throw new HrError('host_not_allowed', { operation: 'check the Host header', detail: (host ?? '').slice(0, 100) });
    if (READS.has(request.method) || origin === undefined) return;
    let from = '';
    try {
      from = new URL(origin).host;
    } catch {
      from = '';
    }
    if (from !== host?.toLowerCase())
      throw new HrError('origin_not_allowed', { operation: 'check the Origin header', detail: origin.slice(0, 100) });
  }

  /** Reading without the token, if that is granted. */
  checkRead(request: FastifyRequest): void {
    const anonymous = this.#config.ADMIN_ANONYMOUS ?? (isLoopback(this.#config.ADMIN_HOST) ? 'read' : 'none');
    if (anonymous !== 'read' && !this.isOperator(request))
      throw new HrError('token_needed', {
        operation: 'read',
        detail: "this listener shows nothing without the operator's token",
      });
  }

  /** Changing, and reading what was refused, needs the token. */
  checkChange(request: FastifyRequest): void {
    if (!this.isOperator(request))
      throw new HrError('token_needed', { operation: 'change', detail: "a change needs the operator's token" });
  }
}
