/** Every route of the API with its schemas. */
import type { FastifyInstance } from 'fastify';
import Type from 'typebox';
import { COMMANDS, type CommandArgs, type CommandResult, type CommandVerb } from '../contract/commands.ts';
import type { ServiceName } from '../contract/topics.ts';
import { HrError } from '../service/errors/errors.ts';
import { COOKIE, OLD_COOKIE, type Access } from './access.ts';
import * as answered from './answer-schemas.ts';
import type { EventStream } from './events.ts';
import type { Fleet } from './fleet.ts';
import { healthText } from './health.ts';
import type { History } from './history.ts';
import { refuseLater, type HttpClients } from './http-clients.ts';
import { attachmentOf, csvOf } from './readings-file.ts';
import type { Prometheus } from './prometheus.ts';
import * as schemas from './route-schemas.ts';
import { SESSION_SECONDS } from './sessions.ts';

const { answers, answersAlso, answersText } = schemas;

/** Nothing but a token is sent there. */
const LOGIN_MAX_BYTES = 1024;

export interface RouteOptions {
  fleet: Fleet;
  access: Access;
  clients: HttpClients;
  prometheus: Prometheus;
  events: EventStream;
  history: History;
  health: () => answered.Health;
  command: <V extends CommandVerb>(service: ServiceName, verb: V, args: CommandArgs<V>) => Promise<CommandResult<V>>;
}

/** The last status of the queue, for /queue and the page. */
export function queueOf(fleet: Fleet): answered.QueueAnswer | undefined {
  const known = fleet.service('forwarder');
  if (known?.value.forwarder === undefined) return undefined;
  return { ...known.value.forwarder, as_of: known.value.as_of ?? known.value.since, stale: known.stale };
}

const unknownStrap = (id: string): HrError => new HrError('strap_unknown', { operation: 'find a strap', detail: id });

/** Routes that only read; who may use them depends on ADMIN_ANONYMOUS. */
export function addReadRoutes(app: FastifyInstance, options: RouteOptions): void {
  const { access, clients, fleet, prometheus, events, health, history, command } = options;
  const healthAnswers = answersAlso(answered.healthSchema, 'text/plain');
  const down = {
    description: 'Down: the same body, for probes that check only the HTTP status',
    content: { 'application/json': { schema: answered.healthSchema }, 'text/plain': { schema: Type.String() } },
  };
  app.get<{ Querystring: schemas.HealthQuery }>(
    '/health',
    {
      schema: {
        tags: ['read'],
        summary: 'Every check with its reason and what to do',
        querystring: schemas.healthQuery,
        response: { ...healthAnswers, 503: down } as object,
      },
    },
    async (request, reply) => {
      const now = health();
      reply.code(now.status === 'down' ? 503 : 200);
      if (request.query.format !== 'text') return now;
      return await reply.type('text/plain; charset=utf-8').serializer(String).send(healthText(now));
    },
  );
  app.get(
    '/queue',
    {
      schema: {
        tags: ['read'],
        summary: 'Queue, ledger and uplink, as last published by the forwarder',
        response: answers(answered.queueSchema),
      },
    },
    async () => {
      const queue = queueOf(fleet);
      if (queue === undefined)
        throw new HrError('nothing_known', {
          operation: 'read the queue',
          detail: 'the forwarder has not published a status yet',
        });
      return queue;
    },
  );
  app.get(
    '/queue/history',
    {
      schema: {
        tags: ['read'],
        summary: 'Depth and age of the queue over the last ten minutes, one point a second',
        response: answers(answered.historySchema),
      },
    },
    async () => history.queue(),
  );
  app.get<{ Params: schemas.RunParams; Querystring: schemas.RunQuery }>(
    '/queue/runs/:run',
    {
      schema: {
        tags: ['read'],
        summary: 'What became of each reading of a run',
        params: schemas.runParams,
        querystring: schemas.runQuery,
        response: answers(COMMANDS['show-run'].result),
      },
    },
    async ({ params: { run }, query: { gateway, from } }) =>
      await command('forwarder', 'show-run', {
        run,
        ...(gateway === undefined ? {} : { gateway }),
        ...(from === undefined ? {} : { from }),
      }),
  );
  app.get(
    '/devices',
    {
      schema: {
        tags: ['read'],
        summary: 'Every known strap',
        response: answers(Type.Array(answered.deviceSchema)),
      },
    },
    async () => fleet.devices(),
  );
  app.get<{ Params: schemas.DeviceParams }>(
    '/devices/:id',
    { schema: { tags: ['read'], summary: 'One strap', params: schemas.deviceParams, response: answers(answered.deviceSchema) } },
    async (request) => {
      const { id } = request.params;
      const device = fleet.device(id);
      if (device === undefined) throw unknownStrap(id);
      return device;
    },
  );
  app.get<{ Params: schemas.DeviceParams; Querystring: schemas.ReadingsQuery }>(
    '/devices/:id/readings',
    {
      schema: {
        tags: ['read'],
        summary: 'Readings of the last ten minutes, at most 2,400',
        params: schemas.deviceParams,
        querystring: schemas.readingsQuery,
        response: answersAlso(answered.readingsSchema, 'text/csv'),
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      const readings = fleet.readings(id);
      if (readings === undefined) throw unknownStrap(id);
      if (request.query.format !== 'csv') return readings;
      return await reply
        .type('text/csv; charset=utf-8')
        .header('content-disposition', attachmentOf(id, readings[0]?.timestamp))
        .serializer(String)
        .send(csvOf(readings));
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
  // A HEAD request to it would never end.
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
    (request, reply) => {
      const proof = access.proofOf(request);
      const session = proof.kind === 'session' ? proof.key : undefined;
      if (events.add(reply, proof.kind === 'token' ? 'token' : session)) return;
      clients.refusedOtherwise(request.raw);
      throw new HrError('too_many_pages', { operation: 'open events', detail: `${events.pages} pages are open` });
    },
  );
}

/** Routes that need the operator's token. */
export function addChangeRoutes(app: FastifyInstance, { command }: RouteOptions): void {
  const security = [{ operator: [] }];
  app.get<{ Querystring: CommandArgs<'list-dead-letters'> }>(
    '/dead-letters',
    {
      schema: {
        tags: ['operator'],
        summary: 'Readings that were refused, newest first',
        security,
        querystring: schemas.deadLettersQuery,
        response: answers(COMMANDS['list-dead-letters'].result),
      },
    },
    async ({ query: { limit, before } }) =>
      await command('forwarder', 'list-dead-letters', {
        ...(limit === undefined ? {} : { limit }),
        ...(before === undefined ? {} : { before }),
      }),
  );
  app.post<{ Body: CommandArgs<'retry-dead-letters'> }>(
    '/dead-letters/retry',
    {
      schema: {
        tags: ['operator'],
        summary: 'Move dead letters back into the queue',
        security,
        body: COMMANDS['retry-dead-letters'].args,
        response: answers(COMMANDS['retry-dead-letters'].result),
      },
    },
    async (request) => await command('forwarder', 'retry-dead-letters', request.body),
  );
  app.post<{ Body: CommandArgs<'discard-dead-letters'> }>(
    '/dead-letters/discard',
    {
      schema: {
        tags: ['operator'],
        summary: 'Drop dead letters',
        security,
        body: COMMANDS['discard-dead-letters'].args,
        response: answers(COMMANDS['discard-dead-letters'].result),
      },
    },
    async (request) => await command('forwarder', 'discard-dead-letters', request.body),
  );
  app.post(
    '/damage/acknowledge',
    {
      schema: {
        tags: ['operator'],
        summary: 'Acknowledge the report of a damaged queue file',
        security,
        response: answers(COMMANDS['acknowledge-damage'].result),
      },
    },
    async () => await command('forwarder', 'acknowledge-damage', {}),
  );
  app.post(
    '/backup',
    {
      schema: {
        tags: ['operator'],
        summary: 'Copy the queue into DATA_DIR/backups',
        security,
        response: answers(COMMANDS.backup.result),
      },
    },
    async () => await command('forwarder', 'backup', {}),
  );
  app.post(
    '/scan',
    { schema: { tags: ['operator'], summary: 'Scan for straps now', security, response: answers(COMMANDS['scan-now'].result) } },
    async () => await command('ble-bridge', 'scan-now', {}),
  );
  app.delete<{ Params: schemas.DeviceParams }>(
    '/devices/:id',
    {
      schema: {
        tags: ['operator'],
        summary: 'Forget a strap',
        security,
        params: schemas.strapParams,
        response: answers(COMMANDS['forget-device'].result),
      },
    },
    async (request) => await command('ble-bridge', 'forget-device', { device: request.params.id }),
  );
  app.post<{ Params: schemas.DeviceParams; Body: schemas.RenameBody }>(
    '/devices/:id/rename',
    {
      schema: {
        tags: ['operator'],
        summary: 'Enter who wears a strap; what is left out stays as it is, null removes it, and so does an empty name',
        security,
        params: schemas.strapParams,
        body: schemas.renameBody,
        response: answers(COMMANDS['rename-device'].result),
      },
    },
    async (request) => {
      const change = request.body.name === '' ? { ...request.body, name: null } : request.body;
      return await command('ble-bridge', 'rename-device', { device: request.params.id, ...change });
    },
  );
  app.post<{ Params: schemas.DeviceParams }>(
    '/devices/:id/reset-energy',
    {
      schema: {
        tags: ['operator'],
        summary: 'Set the energy count of a strap to 0',
        security,
        params: schemas.strapParams,
        response: answers(COMMANDS['reset-energy'].result),
      },
    },
    async (request) => await command('ble-bridge', 'reset-energy', { device: request.params.id }),
  );
  app.post<{ Body: schemas.LogLevelBody }>(
    '/log-level',
    {
      schema: {
        tags: ['operator'],
        summary: 'Change the log level of a service until its next start',
        security,
        body: schemas.logLevelBody,
        response: answers(COMMANDS['set-log-level'].result),
      },
    },
    async (request) => {
      const { service, level } = request.body;
      return await command(service, 'set-log-level', { level });
    },
  );
}

/** The page's login: exchanges the token for a session, whose cookie no script can read and no other site can send. */
export function addLoginRoutes(app: FastifyInstance, { access, clients }: RouteOptions): void {
  app.post<{ Body: schemas.TokenBody }>(
    '/login',
    {
      bodyLimit: LOGIN_MAX_BYTES,
      schema: {
        tags: ['session'],
        summary: "Exchange the operator's token for the cookie of a session",
        body: schemas.tokenBody,
        response: answers(schemas.sessionSchema),
      },
    },
    async (request, reply) => {
      if (!access.isToken(request.body.token)) {
        await refuseLater(() => clients.wrongToken(request.raw));
        throw new HrError('token_needed', { operation: 'log in', detail: "this is not the operator's token" });
      }
      // A browser that logs in again has one session, not two.
      access.logOut(request);
      void reply.clearCookie(OLD_COOKIE, { path: '/' }).setCookie(COOKIE, access.logIn(), {
        path: '/',
        httpOnly: true,
        sameSite: 'strict',
        secure: request.protocol === 'https',
        maxAge: SESSION_SECONDS,
      });
      return { operator: true };
    },
  );
  app.post(
    '/logout',
    {
      schema: {
        tags: ['session'],
        summary: 'End the session: its cookie is worth nothing from now on',
        response: answers(schemas.sessionSchema),
      },
    },
    async (request, reply) => {
      access.logOut(request);
      void reply.clearCookie(COOKIE, { path: '/' }).clearCookie(OLD_COOKIE, { path: '/' });
      return { operator: false };
    },
  );
  app.get(
    '/session',
    { schema: { tags: ['session'], summary: 'Whether this client is the operator', response: answers(schemas.sessionSchema) } },
    async (request, reply) => {
      if (request.cookies[OLD_COOKIE] !== undefined) void reply.clearCookie(OLD_COOKIE, { path: '/' });
      return { operator: access.isOperator(request) };
    },
  );
}
