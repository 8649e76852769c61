/** Builds the HTTP side: plugins, checks, routes, page. Listens nowhere: service.ts does. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import type { SecureContextOptions } from 'node:tls';
import { fileURLToPath } from 'node:url';
import fastifyCookie from '@fastify/cookie';
import fastifyStatic from '@fastify/static';
import fastifySwagger from '@fastify/swagger';
import fastifySwaggerUi from '@fastify/swagger-ui';
import { fastify, type FastifyInstance } from 'fastify';
import type { Logger } from '../service/log/log.ts';
import { HANDSHAKE_TIMEOUT_MS, HTTP_TIME_LIMITS, SILENT_CONNECTION_MS } from '../service/network/connection-limits.ts';
import { VERSION } from '../service/process/version.ts';
import type { Access } from './access.ts';
import { checkBodiesUnconverted } from './body-check.ts';
import { refuseLater, type Budget, type HttpClients } from './http-clients.ts';
import { answerBrokenHttp, notFoundHandler, problemHandler } from './problem.ts';
import { aliveSchema, answers } from './route-schemas.ts';
import { addChangeRoutes, addLoginRoutes, addReadRoutes, type RouteOptions } from './routes.ts';

const BODY_MAX_BYTES = 64 * 1024;
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "font-src 'self' data:",
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** uPlot as its package ships it: read once, served from memory. */
function chartFiles(): { script: Buffer; style: Buffer } {
  const folder = path.dirname(createRequire(import.meta.url).resolve('uplot/package.json'));
  return {
    script: readFileSync(path.join(folder, 'dist/uPlot.esm.js')),
    style: readFileSync(path.join(folder, 'dist/uPlot.min.css')),
  };
}

/** Answers to a Host or Origin of another site, and to a body that is too large. */
const REFUSED: ReadonlySet<number> = new Set([403, 413]);
/** Cheap, and needed to find out that the box is under attack; a wrong token is charged separately. */
const UNCHARGED = new Set(['/health/live', '/login']);

/** Which budget a route is charged to: the page's own files and the API have one each. */
function budgetOf(url: string | undefined): Budget | undefined {
  if (url === undefined) return 'api';
  if (UNCHARGED.has(url)) return undefined;
  return url === '/*' || url === '/session' || url === '/logout' || /^\/(uplot|docs)\b/.test(url) ? 'page' : 'api';
}

/** Counts the requests of clients without a token, and keeps the operator's connections open. */
function limitClients(app: FastifyInstance, access: Access, clients: HttpClients): void {
  clients.attach(app.server);
  app.addHook('onRequest', async (request) => {
    const proof = access.proofOf(request);
    if (proof.kind === 'token' || proof.kind === 'session') return clients.protect(request.raw);
    if (proof.kind === 'wrong') return await refuseLater(() => clients.wrongToken(request.raw));
    const budget = budgetOf(request.routeOptions.url);
    if (budget !== undefined) await refuseLater(() => clients.admit(request.raw, budget));
  });
  app.addHook('onResponse', async (request, reply) => {
    if (REFUSED.has(reply.statusCode) && !access.isOperator(request)) clients.refusedOtherwise(request.raw);
    const budget = budgetOf(request.routeOptions.url);
    const bytes = Number(reply.getHeader('content-length') ?? 0);
    if (budget !== undefined && bytes > 0 && !access.isOperator(request)) clients.answered(request.raw, budget, bytes);
  });
}

export interface AppOptions extends RouteOptions {
  log: Logger;
  /** With a certificate, the app serves HTTPS only. */
  tls: SecureContextOptions | undefined;
}

export async function buildApp(options: AppOptions): Promise<FastifyInstance> {
  const { access, clients, log, tls } = options;
  const app = fastify({
    ...(tls === undefined
      ? { http: HTTP_TIME_LIMITS }
      : { https: { ...tls, ...HTTP_TIME_LIMITS, handshakeTimeout: HANDSHAKE_TIMEOUT_MS } }),
    requestTimeout: HTTP_TIME_LIMITS.requestTimeout,
    keepAliveTimeout: HTTP_TIME_LIMITS.keepAliveTimeout,
    connectionTimeout: SILENT_CONNECTION_MS,
    loggerInstance: log.child({}, { level: 'silent' }),
    bodyLimit: BODY_MAX_BYTES,
    // A start on a slow box takes as long as it takes; the watchdog ends one that hangs. Fastify's limit would end the process after 10 s.
    pluginTimeout: 0,
    forceCloseConnections: true,
    // A device name of 64 code points, percent-encoded.
    routerOptions: { maxParamLength: 1000 },
    ajv: { customOptions: { coerceTypes: 'array', removeAdditional: false, allowUnionTypes: true } },
    // Requests that reach no route: a malformed URL, malformed HTTP.
    frameworkErrors: problemHandler(log) as never,
    clientErrorHandler: answerBrokenHttp,
  }) as unknown as FastifyInstance;
  app.addHook('onRoute', checkBodiesUnconverted);
  app.setErrorHandler(problemHandler(log));
  app.setNotFoundHandler(notFoundHandler);
  await app.register(fastifyCookie);
  await app.register(fastifySwagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'hr-gateway admin API', version: VERSION, license: { name: 'MIT' } },
      tags: [
        { name: 'read', description: 'Open on loopback (ADMIN_ANONYMOUS)' },
        { name: 'operator', description: "With the operator's token" },
        { name: 'session', description: "The page's cookie" },
      ],
      components: { securitySchemes: { operator: { type: 'http', scheme: 'bearer' } } },
    },
  });
  app.addHook('onRequest', async (request, reply) => {
    void reply.headers({
      'content-security-policy': CONTENT_SECURITY_POLICY,
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'referrer-policy': 'no-referrer',
      'cross-origin-resource-policy': 'same-origin',
    });
    access.checkOrigin(request);
  });
  limitClients(app, access, clients);
  app.get(
    '/health/live',
    { schema: { tags: ['read'], summary: 'The process answers', response: answers(aliveSchema) } },
    async () => ({ status: 'ok' }),
  );
  await app.register(async (reading) => {
    reading.addHook('onRequest', async (request) => access.checkRead(request));
    addReadRoutes(reading as unknown as FastifyInstance, options);
    reading.get('/openapi.json', { schema: { hide: true } }, async () => app.swagger());
    await reading.register(fastifySwaggerUi, {
      routePrefix: '/docs',
      staticCSP: false,
      uiConfig: { supportedSubmitMethods: ['get'], validatorUrl: null },
      theme: { title: 'hr-gateway admin API', css: [{ filename: 'docs.css', content: '.topbar { display: none; }' }] },
    });
  });
  await app.register(async (changing) => {
    changing.addHook('onRequest', async (request) => access.checkChange(request));
    addChangeRoutes(changing as unknown as FastifyInstance, options);
  });
  addLoginRoutes(app, options);
  const { script, style } = chartFiles();
  app.get(
    '/uplot.js',
    { schema: { hide: true } },
    async (_request, reply) => await reply.type('text/javascript; charset=utf-8').send(script),
  );
  app.get(
    '/uplot.css',
    { schema: { hide: true } },
    async (_request, reply) => await reply.type('text/css; charset=utf-8').send(style),
  );
  // The page itself holds no data: what it shows it reads by the routes above, with their checks.
  await app.register(fastifyStatic, {
    root: fileURLToPath(new URL('./page/', import.meta.url)),
    cacheControl: false,
    extensions: ['html'],
  });
  return app;
}
