/** Every route of the API with its schemas. */
import type { FastifyInstance } from 'fastify';
import type { CommandArgs, CommandVerb } from '../contract/commands.ts';
import type { ForwarderStatus } from '../contract/service-status.ts';
import type { ServiceName } from '../contract/topics.ts';
import { HrError } from '../service/errors/errors.ts';
import { COOKIE, type Access } from './access.ts';
import type { EventStream } from './events.ts';
import type { Fleet } from './fleet.ts';
import { healthText, type Health } from './health.ts';
import type { History } from './history.ts';
import type { Prometheus } from './prometheus.ts';
import * as schemas from './route-schemas.ts';

const { answers, answersAlso, answersText } = schemas;

export interface RouteOptions {
  fleet: Fleet;
  access: Access;
  prometheus: Prometheus;
  events: EventStream;
  history: History;
  health: () => Health;
  command: <V extends CommandVerb>(service: ServiceName, verb: V, args: CommandArgs<V>) => Promise<unknown>;
}

/** What the forwarder last said, for /queue and the page. */
export function queueOf(fleet: Fleet): (ForwarderStatus & { as_of: string; stale: boolean }) | undefined {
  const heard = fleet.service('forwarder');
  if (heard?.value.forwarder === undefined) return undefined;
  return { ...heard.value.forwarder, as_of: heard.value.as_of ?? heard.value.since, stale: heard.stale };
}

const unknownStrap = (id: string): HrError => new HrError('strap_unknown', { operation: 'find a strap', detail: id });

/** Reading routes; open as ADMIN_ANONYMOUS says. */
export function addReadRoutes(app: FastifyInstance, { fleet, prometheus, events, health, history }: RouteOptions): void {
  const healthAnswers = answersAlso(schemas.healthSchema, 'text/plain');
  const down = {
    description: 'Down: the same, for probes that look at the status alone',
    content: { 'application/json': { schema: schemas.healthSchema }, 'text/plain': { schema: { type: 'string' } } },
  };
  app.get(
    '/health',
    {
      schema: {
        tags: ['read'],
        summary: 'What is well and what is not, and what to do',
        querystring: schemas.formatQuery('json', 'text'),
        response: { ...healthAnswers, 503: down } as object,
      },
    },
    async (request, reply) => {
      const now = health();
      reply.code(now.status === 'down' ? 503 : 200);
      if ((request.query as { format?: string }).format !== 'text') return now;
      return await reply.type('text/plain; charset=utf-8').serializer(String).send(healthText(now));
    },
  );
  app.get(
    '/queue',
    {
      schema: {
        tags: ['read'],
        summary: 'Queue, ledger and uplink, as the forwarder last said',
        response: answers(schemas.queueSchema),
      },
    },
    async () => {
      const queue = queueOf(fleet);
      if (queue === undefined)
        throw new HrError('nothing_known', { operation: 'read the queue', detail: 'the forwarder has said nothing yet' });
      return queue;
    },
  );
  app.get(
    '/queue/history',
    {
      schema: {
        tags: ['read'],
        summary: 'Depth and age of the queue over the last ten minutes, one point a second',
        response: answers(schemas.historySchema),
      },
    },
    async () => history.queue(),
  );
  app.get(
    '/devices',
    {
      schema: {
        tags: ['read'],
        summary: 'Every strap that is known',
        response: answers({ type: 'array', items: schemas.deviceSchema }),
      },
    },
    async () => fleet.devices(),
  );
  app.get(
    '/devices/:id',
    { schema: { tags: ['read'], summary: 'One strap', params: schemas.deviceParams, response: answers(schemas.deviceSchema) } },
    async (request) => {
      const { id } = request.params as { id: string };
      const device = fleet.device(id);
      if (device === undefined) throw unknownStrap(id);
      return device;
    },
  );
  app.get(
    '/devices/:id/readings',
    {
      schema: {
        tags: ['read'],
        summary: 'Readings of the last ten minutes, at most 2,400',
        params: schemas.deviceParams,
        querystring: schemas.formatQuery('json', 'csv'),
        response: answersAlso(schemas.readingsSchema, 'text/csv'),
      },
    },
    async (request, reply) => {
      const { id } = request.params as { id: string };
      const readings = fleet.readings(id);
      if (readings === undefined) throw unknownStrap(id);
      if ((request.query as { format?: string }).format !== 'csv') return readings;
      const lines = readings.map(
        ({ timestamp, heart_rate, sensor_contact }) => `${timestamp},${heart_rate},${sensor_contact ?? ''}\n`,
      );
      return await reply
        .type('text/csv; charset=utf-8')
        .serializer(String)
        .send(`timestamp,heart_rate,sensor_contact\n${lines.join('')}`);
    },
  );
  app.get(
    '/metrics',
    { schema: { tags: ['read'], summary: 'Prometheus metrics', response: answersText('text/plain') } },
    async (_request, reply) =>
      await reply
        .type(prometheus.contentType)
        .serializer(String)
        .send(await prometheus.text()),
  );
  // A HEAD of it would never end.
  app.get(
    '/events',
    {
      exposeHeadRoute: false,
      schema: {
        tags: ['read'],
        summary: 'Server-sent events: overview, reading, device',
        response: answersText('text/event-stream'),
      },
    },
    (_request, reply) => {
      if (!events.add(reply))
        throw new HrError('too_many_pages', { operation: 'open events', detail: `${events.pages} pages are open` });
    },
  );
}

/** Routes that need the operator's token. */
export function addChangeRoutes(app: FastifyInstance, { command }: RouteOptions): void {
  const security = [{ operator: [] }];
  app.get(
    '/dead-letters',
    {
      schema: {
        tags: ['operator'],
        summary: 'Readings that were refused, newest first',
        security,
        querystring: schemas.deadLettersQuery,
        response: answers(schemas.deadLettersSchema),
      },
    },
    async (request) => await command('forwarder', 'list-dead-letters', request.query as CommandArgs<'list-dead-letters'>),
  );
  app.post(
    '/dead-letters/retry',
    {
      schema: {
        tags: ['operator'],
        summary: 'Put dead letters back into the queue',
        security,
        body: schemas.idsBody,
        response: answers(schemas.retriedSchema),
      },
    },
    async (request) => await command('forwarder', 'retry-dead-letters', request.body as CommandArgs<'retry-dead-letters'>),
  );
  app.post(
    '/dead-letters/discard',
    {
      schema: {
        tags: ['operator'],
        summary: 'Give dead letters up',
        security,
        body: schemas.idsBody,
        response: answers(schemas.discardedSchema),
      },
    },
    async (request) => await command('forwarder', 'discard-dead-letters', request.body as CommandArgs<'discard-dead-letters'>),
  );
  app.post(
    '/damage/acknowledge',
    {
      schema: {
        tags: ['operator'],
        summary: 'The report of a damaged queue file has been read',
        security,
        response: answers(schemas.acknowledgedSchema),
      },
    },
    async () => await command('forwarder', 'acknowledge-damage', {}),
  );
  app.post(
    '/backup',
    {
      schema: {
        tags: ['operator'],
        summary: 'Copy of the queue into DATA_DIR/backups',
        security,
        response: answers(schemas.backupSchema),
      },
    },
    async () => await command('forwarder', 'backup', {}),
  );
  app.post(
    '/scan',
    { schema: { tags: ['operator'], summary: 'Look for straps now', security, response: answers(schemas.scanSchema) } },
    async () => await command('ble-bridge', 'scan-now', {}),
  );
  app.delete(
    '/devices/:id',
    {
      schema: {
        tags: ['operator'],
        summary: 'Forget a strap',
        security,
        params: schemas.deviceParams,
        response: answers(schemas.forgottenSchema),
      },
    },
    async (request) => await command('ble-bridge', 'forget-device', { device: (request.params as { id: string }).id }),
  );
  app.post(
    '/devices/:id/reset-energy',
    {
      schema: {
        tags: ['operator'],
        summary: 'Set the energy count of a strap to 0',
        security,
        params: schemas.deviceParams,
        response: answers(schemas.resetSchema),
      },
    },
    async (request) => await command('ble-bridge', 'reset-energy', { device: (request.params as { id: string }).id }),
  );
  app.post(
    '/log-level',
    {
      schema: {
        tags: ['operator'],
        summary: 'Change the log level of a service until its next start',
        security,
        body: schemas.logLevelBody,
        response: answers(schemas.logLevelSchema),
      },
    },
    async (request) => {
      const { service, level } = request.body as { service: ServiceName; level: 'info' };
      return await command(service, 'set-log-level', { level });
    },
  );
}

/** The page's login: takes the token once, gives a cookie that no script reads and no other site sends. */
export function addLoginRoutes(app: FastifyInstance, { access }: RouteOptions): void {
  app.post(
    '/login',
    {
      schema: {
        tags: ['session'],
        summary: "Exchange the operator's token for a cookie",
        body: schemas.tokenBody,
        response: answers(schemas.sessionSchema),
      },
    },
    async (request, reply) => {
      const { token } = request.body as { token: string };
      if (!access.isToken(token))
        throw new HrError('token_needed', { operation: 'log in', detail: "this is not the operator's token" });
      void reply.setCookie(COOKIE, token, {
        path: '/',
        httpOnly: true,
        sameSite: 'strict',
        secure: request.protocol === 'https',
        maxAge: 30 * 86_400,
      });
      return { operator: true };
    },
  );
  app.post(
    '/logout',
    { schema: { tags: ['session'], summary: 'Forget the cookie', response: answers(schemas.sessionSchema) } },
    async (_request, reply) => {
      void reply.clearCookie(COOKIE, { path: '/' });
      return { operator: false };
    },
  );
  app.get(
    '/session',
    { schema: { tags: ['session'], summary: 'Whether this client is the operator', response: answers(schemas.sessionSchema) } },
    async (request) => ({ operator: access.isOperator(request) }),
  );
}
