/** Who may read and who may change: the operator's token by Bearer or cookie, Host and Origin checks (design section 5). */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Config } from '../service/config.ts';
import { HrError } from '../service/errors.ts';

export const COOKIE = 'hr_gateway_token';

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host === '[::1]' || host.startsWith('127.');
}

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

  /** A foreign name that points at this address (DNS rebinding) is refused. Names beyond loopback are allowed where the listener is. */
  checkHost(request: FastifyRequest): void {
    const host = (request.headers.host ?? '').replace(/:\d+$/, '');
    if (isLoopback(host) || host === this.#config.ADMIN_HOST || this.#config.ADMIN_ALLOWED_HOSTS.includes(host)) return;
    // An address is no name that could be rebound.
    if (/^[\d.]+$/.test(host) || host.startsWith('[')) return;
    throw new HrError('host_not_allowed', { operation: 'check the Host header', detail: host.slice(0, 100) });
  }

  /** Reading without the token, where that is granted. */
  checkRead(request: FastifyRequest): void {
    const anonymous = this.#config.ADMIN_ANONYMOUS ?? (isLoopback(this.#config.ADMIN_HOST) ? 'read' : 'none');
    if (anonymous !== 'read' && !this.isOperator(request)) throw new HrError('token_needed', { operation: 'read', detail: 'this listener shows nothing without the operator\'s token' });
  }

  /** Changing needs the token, and no page of another site may do it through its visitor. */
  checkChange(request: FastifyRequest, _reply?: FastifyReply): void {
    const origin = request.headers.origin;
    if (origin !== undefined) {
      let host = '';
      try {
        host = new URL(origin).host;
      } catch {
        host = '';
      }
      if (host !== request.headers.host) throw new HrError('origin_not_allowed', { operation: 'check the Origin header', detail: origin.slice(0, 100) });
    }
    if (!this.isOperator(request)) throw new HrError('token_needed', { operation: 'change', detail: 'a change needs the operator\'s token' });
  }
}
