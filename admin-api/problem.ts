/** Errors as problem+json (RFC 9457), with the catalogue's codes. */
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import Type, { type Static } from 'typebox';
import { ERRORS, type ErrorCode } from '../service/errors/error-catalogue.ts';
import { HrError } from '../service/errors/errors.ts';
import { maskSecrets } from '../service/secrets/mask.ts';
import type { Logger } from '../service/log/log.ts';

const STATUS: Partial<Record<ErrorCode, number>> = {
  token_needed: 401,
  host_not_allowed: 403,
  origin_not_allowed: 403,
  not_found: 404,
  strap_unknown: 404,
  run_unknown: 404,
  run_ambiguous: 409,
  strap_not_connected: 409,
  strap_has_no_energy_count: 409,
  request_invalid: 400,
  command_invalid: 400,
  command_unknown: 501,
  command_timeout: 504,
  command_failed: 502,
  not_connected: 503,
  nothing_known: 503,
  too_many_pages: 503,
  too_many_requests: 429,
};

/** By Node's error code. */
const BROKEN_HTTP_STATUS: Readonly<Record<string, number>> = { HPE_HEADER_OVERFLOW: 431, ERR_HTTP_REQUEST_TIMEOUT: 408 };

export const problemSchema = Type.Object({
  type: Type.String(),
  title: Type.String(),
  status: Type.Integer(),
  code: Type.String(),
  detail: Type.String(),
  hint: Type.String(),
});

const problem = (status: number, code: ErrorCode, detail: string, hint: string): Static<typeof problemSchema> => ({
  type: 'about:blank',
  title: ERRORS[code].summary,
  status,
  code,
  detail: maskSecrets(detail),
  hint,
});

function answer(reply: FastifyReply, status: number, code: ErrorCode, detail: string, hint: string): void {
  // A client over its budget is to wait, on a connection that it has to open again.
  if (status === 429) void reply.headers({ 'retry-after': '5', connection: 'close' });
  void reply
    .code(status)
    .header('content-type', 'application/problem+json')
    .serializer(JSON.stringify)
    .send(problem(status, code, detail, hint));
}

/** Answers something that is not HTTP directly on its socket. */
export function answerBrokenHttp(error: { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return;
  const status = BROKEN_HTTP_STATUS[error.code ?? ''] ?? 400;
  const body = JSON.stringify(problem(status, 'request_invalid', 'this is not an HTTP request', ERRORS.request_invalid.hint));
  if (socket.writable)
    socket.write(
      [
        `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`,
        'Content-Type: application/problem+json',
        `Content-Length: ${Buffer.byteLength(body)}`,
        'Connection: close',
        '',
        body,
      ].join('\r\n'),
    );
  socket.destroy();
}

/** The error handler of the whole API. */
export function problemHandler(log: Logger): (error: unknown, request: FastifyRequest, reply: FastifyReply) => void {
  return (error, request, reply) => {
    if (error instanceof HrError) return answer(reply, STATUS[error.code] ?? 500, error.code, error.detail, error.hint);
    const status = (error as FastifyError).statusCode ?? 500;
    if (status >= 400 && status < 500)
      return answer(reply, status, 'request_invalid', (error as FastifyError).message, ERRORS.request_invalid.hint);
    log.error({ event: 'request_failed', route: request.routeOptions.url, err: error }, 'a request failed');
    return answer(reply, 500, 'uncaught_error', 'see the log', ERRORS.uncaught_error.hint);
  };
}

export function notFoundHandler(request: FastifyRequest, reply: FastifyReply): void {
  answer(reply, 404, 'not_found', `${request.method} ${request.url.slice(0, 200)}`, ERRORS.not_found.hint);
}
