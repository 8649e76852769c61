/** Who may read and who may change: the operator's token by Bearer or cookie, Host and Origin checks (design section 5). */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { isLoopback, isOwnHost } from '../service/network/addresses.ts';
import type { Config } from '../service/config/config.ts';
import { HrError } from '../service/errors/errors.ts';

export const COOKIE = 'hr_gateway_token';

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
const READS = new Set(['GET', 'HEAD', 'OPTIONS']);

export class Access {
  readonly #config: Config;
  #token: Buffer = Buffer.alloc(0);

  constructor(config: Config) {
    this.#config = config;
  }

  start(token: string): void {
    this.#token = digest(token);
  }

  isToken(text: string): boolean {
    return timingSafeEqual(digest(text), this.#token);
  }

  /** The request carries the operator's token. */
  isOperator(request: FastifyRequest): boolean {
    const bearer = /^Bearer (.+)$/i.exec(request.headers.authorization ?? '')?.[1];
    if (bearer !== undefined) return this.isToken(bearer);
    const cookie = request.cookies[COOKIE];
    return cookie !== undefined && this.isToken(cookie);
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

  /** Changing, and looking at what was refused, needs the token. */
  checkChange(request: FastifyRequest): void {
    if (!this.isOperator(request))
      throw new HrError('token_needed', { operation: 'change', detail: "a change needs the operator's token" });
  }
}
