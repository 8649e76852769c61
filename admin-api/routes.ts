/** Every route of the API, with its schema: the schemas validate, serialize and describe (openapi.json). */
import type { FastifyInstance } from 'fastify';
import { deviceStatusSchema, gapSchema } from '../contract/device-status.ts';
import type { CommandArgs, CommandVerb } from '../contract/commands.ts';
import { checkSchema, type ForwarderStatus } from '../contract/service-status.ts';
import { SERVICE_NAMES, type ServiceName } from '../contract/topics.ts';
import { HrError } from '../service/errors.ts';
import { COOKIE, type Access } from './access.ts';
import type { EventStream } from './events.ts';
import type { Fleet } from './fleet.ts';
import { healthText, type Health } from './health.ts';
import { problemSchema } from './problem.ts';
import type { Prometheus } from './prometheus.ts';

export interface RouteOptions {
  fleet: Fleet;
  access: Access;
  prometheus: Prometheus;
  events: EventStream;
  health: () => Health;
  command: <V extends CommandVerb>(service: ServiceName, verb: V, args: CommandArgs<V>) => Promise<unknown>;
}

const number = { type: 'number' } as const;
const counts = { type: 'object', additionalProperties: number } as const;
const deviceParams = { type: 'object', properties: { id: { type: 'string', pattern: '^[a-z0-9-]{1,64}$' } }, required: ['id'] } as const;
const deviceProperties = { ...deviceStatusSchema.properties, last_gap: { anyOf: [{ type: 'null' }, { type: 'object', properties: gapSchema.properties, additionalProperties: true }] } };
const deviceSchema = { type: 'object', properties: deviceProperties, required: deviceStatusSchema.required, additionalProperties: true };
const healthSchema = { type: 'object', properties: { status: { enum: ['ok', 'degraded', 'down'] }, checks: { type: 'array', items: checkSchema } }, required: ['status', 'checks'] };
const queueSchema = {
  type: 'object',
  properties: {
    depth: number,
    bytes: number,
    oldest_age_seconds: number,
    dead_letters: number,
    duplicates: number,
    uplink: { type: 'object', properties: { state: { type: 'string' }, reason: { type: 'string' }, hint: { type: 'string' }, since: { type: 'string' } }, required: ['state', 'reason', 'hint', 'since'] },
    ledger: { type: 'object', properties: { accepted: number, shipped: number, queued: number, dead: number, evicted: number, missed: number }, required: ['accepted', 'shipped', 'queued', 'dead', 'evicted', 'missed'] },
    causes: { type: 'object', properties: { evicted: counts, missed: counts, dead: counts }, required: ['evicted', 'missed', 'dead'] },
    target: { type: 'string' },
    target_name: { type: 'string' },
    stream: { type: 'string' },
    mode: { type: 'string' },
    last_shipped_at: { type: ['string', 'null'] },
    clock_ahead_ms: { type: ['number', 'null'] },
    as_of: { type: 'string', description: 'When the forwarder said so' },
    stale: { type: 'boolean', description: 'True: last known values of a forwarder that is offline or silent' },
  },
  required: ['depth', 'bytes', 'oldest_age_seconds', 'uplink', 'ledger', 'as_of', 'stale'],
} as const;
const readingSchema = { type: 'object', properties: { timestamp: { type: 'string' }, heart_rate: number, sensor_contact: { type: ['boolean', 'null'] } }, required: ['timestamp', 'heart_rate', 'sensor_contact'] } as const;
const idsSchema = { type: 'object', properties: { ids: { type: 'array', items: { type: 'integer', minimum: 1 }, minItems: 1, maxItems: 1000 }, all: { const: true } }, additionalProperties: false } as const;
const anyObject = { type: 'object', additionalProperties: true } as const;
const withProblem = (schema: object): object => ({ 200: schema, '4xx': { description: 'Refused', content: { 'application/problem+json': { schema: problemSchema } } }, '5xx': { description: 'Failed', content: { 'application/problem+json': { schema: problemSchema } } } });
const text = (type: string): object => ({ description: 'Text', content: { [type]: { schema: { type: 'string' } } } });

/** What the forwarder last said, for /queue and the page. */
export function queueOf(fleet: Fleet): (ForwarderStatus & { as_of: string; stale: boolean }) | undefined {
  const heard = fleet.service('forwarder');
  if (heard?.value.forwarder === undefined) return undefined;
  return { ...heard.value.forwarder, as_of: heard.value.as_of ?? heard.value.since, stale: heard.stale };
}

/** Reading routes; open as ADMIN_ANONYMOUS says. */
export function addReadRoutes(app: FastifyInstance, { fleet, prometheus, events, health }: RouteOptions): void {
  app.get('/health', { schema: { summary: 'What is well and what is not, and what to do', querystring: { type: 'object', properties: { format: { enum: ['json', 'text'] } } }, response: { 200: healthSchema, 503: healthSchema } } }, async (request, reply) => {
    const now = health();
    reply.code(now.status === 'down' ? 503 : 200);
    if ((request.query as { format?: string }).format !== 'text') return now;
    return await reply.type('text/plain; charset=utf-8').serializer(String).send(healthText(now));
  });
  app.get('/queue', { schema: { summary: 'Queue, ledger and uplink, as the forwarder last said', response: withProblem(queueSchema) } }, async () => {
    const queue = queueOf(fleet);
    if (queue === undefined) throw new HrError('not_connected', { operation: 'read the queue', detail: 'the forwarder has said nothing yet' });
    return queue;
  });
  app.get('/devices', { schema: { summary: 'Every strap that is known', response: { 200: { type: 'array', items: deviceSchema } } } }, async () => fleet.devices());
  app.get('/devices/:id', { schema: { summary: 'One strap', params: deviceParams, response: withProblem(deviceSchema) } }, async (request) => {
    const { id } = request.params as { id: string };
    const device = fleet.device(id);
    if (device === undefined) throw new HrError('strap_unknown', { operation: 'find a strap', detail: id });
    return device;
  });
  app.get(
    '/devices/:id/readings',
    { schema: { summary: 'Readings of the last ten minutes', params: deviceParams, querystring: { type: 'object', properties: { format: { enum: ['json', 'csv'] } } }, response: withProblem({ type: 'array', items: readingSchema }) } },
    async (request, reply) => {
      const { id } = request.params as { id: string };
      const readings = fleet.readings(id);
      if (readings === undefined) throw new HrError('strap_unknown', { operation: 'find a strap', detail: id });
      if ((request.query as { format?: string }).format !== 'csv') return readings;
      const lines = readings.map(({ timestamp, heart_rate, sensor_contact }) => `${timestamp},${heart_rate},${sensor_contact ?? ''}`);
      return await reply.type('text/csv; charset=utf-8').serializer(String).send(`timestamp,heart_rate,sensor_contact\n${lines.join('\n')}\n`);
    },
  );
  app.get('/metrics', { schema: { summary: 'Prometheus metrics', response: { 200: text('text/plain') } } }, async (_request, reply) => await reply.type(prometheus.contentType).serializer(String).send(await prometheus.text()));
  app.get('/events', { schema: { summary: 'Server-sent events: overview, reading, device', response: { 200: text('text/event-stream') } } }, (_request, reply) => {
    if (!events.add(reply)) throw new HrError('not_connected', { operation: 'open events', detail: 'too many pages are open' });
  });
}

/** Routes that need the operator's token. */
export function addChangeRoutes(app: FastifyInstance, { command }: RouteOptions): void {
  app.get(
    '/dead-letters',
    { schema: { summary: 'Readings that were refused, newest first', querystring: { type: 'object', properties: { limit: { type: 'integer', minimum: 1, maximum: 500 }, before: { type: 'integer', minimum: 1 } } }, response: withProblem(anyObject) } },
    async (request) => await command('forwarder', 'list-dead-letters', request.query as CommandArgs<'list-dead-letters'>),
  );
  app.post('/dead-letters/retry', { schema: { summary: 'Put dead letters back into the queue', body: idsSchema, response: withProblem(anyObject) } }, async (request) => await command('forwarder', 'retry-dead-letters', request.body as CommandArgs<'retry-dead-letters'>));
  app.post('/dead-letters/discard', { schema: { summary: 'Give dead letters up', body: idsSchema, response: withProblem(anyObject) } }, async (request) => await command('forwarder', 'discard-dead-letters', request.body as CommandArgs<'discard-dead-letters'>));
  app.post('/damage/acknowledge', { schema: { summary: 'The report of a damaged queue file has been read', response: withProblem(anyObject) } }, async () => await command('forwarder', 'acknowledge-damage', {}));
  app.post('/backup', { schema: { summary: 'Copy of the queue into DATA_DIR/backups', response: withProblem(anyObject) } }, async () => await command('forwarder', 'backup', {}));
  app.post('/scan', { schema: { summary: 'Look for straps now', response: withProblem(anyObject) } }, async () => await command('ble-bridge', 'scan-now', {}));
  app.delete('/devices/:id', { schema: { summary: 'Forget a strap', params: deviceParams, response: withProblem(anyObject) } }, async (request) => await command('ble-bridge', 'forget-device', { device: (request.params as { id: string }).id }));
  app.post('/devices/:id/reset-energy', { schema: { summary: 'Set the energy count of a strap to 0', params: deviceParams, response: withProblem(anyObject) } }, async (request) => await command('ble-bridge', 'reset-energy', { device: (request.params as { id: string }).id }));
  app.post(
    '/log-level',
    {
      schema: {
        summary: 'Change the log level of a service until its next start',
        body: { type: 'object', properties: { service: { enum: SERVICE_NAMES }, level: { enum: ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] } }, required: ['service', 'level'], additionalProperties: false },
        response: withProblem(anyObject),
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
  app.post('/login', { schema: { summary: 'Exchange the operator\'s token for a cookie', body: { type: 'object', properties: { token: { type: 'string', maxLength: 200 } }, required: ['token'], additionalProperties: false }, response: withProblem(anyObject) } }, async (request, reply) => {
    const { token } = request.body as { token: string };
    if (!access.isToken(token)) throw new HrError('token_needed', { operation: 'log in', detail: 'this is not the operator\'s token' });
    void reply.setCookie(COOKIE, token, { path: '/', httpOnly: true, sameSite: 'strict', secure: request.protocol === 'https', maxAge: 30 * 86_400 });
    return { operator: true };
  });
  app.post('/logout', { schema: { summary: 'Forget the cookie', response: withProblem(anyObject) } }, async (_request, reply) => {
    void reply.clearCookie(COOKIE, { path: '/' });
    return { operator: false };
  });
  app.get('/session', { schema: { summary: 'Whether this client is the operator', response: withProblem(anyObject) } }, async (request) => ({ operator: access.isOperator(request) }));
}
