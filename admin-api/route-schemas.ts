/** Schemas of requests and answers: they validate, serialize and describe (openapi.json). */
import { deviceStatusSchema, gapSchema } from '../contract/device-status.ts';
import { checkSchema, UPLINK_STATES } from '../contract/service-status.ts';
import { SERVICE_NAMES } from '../contract/topics.ts';
import { problemSchema } from './problem.ts';

const number = { type: 'number' } as const;
const text = { type: 'string' } as const;
const bool = { type: 'boolean' } as const;
const counts = { type: 'object', additionalProperties: number } as const;
const whole = <P extends Record<string, object>>(
  properties: P,
): { type: 'object'; properties: P; required: string[]; additionalProperties: false } => ({
  type: 'object',
  properties,
  required: Object.keys(properties),
  additionalProperties: false,
});
const listOf = (items: object): object => ({ type: 'array', items });

export const deviceParams = {
  type: 'object',
  properties: { id: { type: 'string', pattern: '^[a-z0-9-]{1,64}$' } },
  required: ['id'],
} as const;
export const deviceSchema = {
  type: 'object',
  properties: {
    ...deviceStatusSchema.properties,
    last_gap: {
      anyOf: [
        { type: 'null' },
        { type: 'object', properties: gapSchema.properties, required: gapSchema.required, additionalProperties: true },
      ],
    },
  },
  required: [...deviceStatusSchema.required, 'last_gap'],
  additionalProperties: true,
} as const;
export const healthSchema = whole({ status: { enum: ['ok', 'degraded', 'down'] }, checks: listOf(checkSchema) });
export const queueSchema = {
  type: 'object',
  properties: {
    depth: number,
    bytes: number,
    oldest_age_seconds: number,
    dead_letters: number,
    duplicates: number,
    uplink: whole({ state: { enum: UPLINK_STATES }, reason: text, hint: text, since: text }),
    ledger: whole({ accepted: number, shipped: number, queued: number, dead: number, evicted: number, missed: number }),
    causes: whole({ evicted: counts, missed: counts, dead: counts }),
    target: { enum: ['local', 'aws', 'endpoint'] },
    target_name: text,
    stream: text,
    mode: { enum: ['records', 'aggregated'] },
    commit_interval_ms: number,
    last_shipped_at: { type: ['string', 'null'] },
    clock_ahead_ms: { type: ['number', 'null'] },
    as_of: { type: 'string', description: 'When the forwarder said so' },
    stale: { type: 'boolean', description: 'True: last known values of a forwarder that is offline or silent' },
  },
  required: ['depth', 'bytes', 'oldest_age_seconds', 'uplink', 'ledger', 'as_of', 'stale'],
  additionalProperties: true,
} as const;
export const historySchema = whole({
  at: { ...listOf(number), description: 'Seconds since 1970' },
  depth: listOf({ type: ['number', 'null'] }),
  oldest_age_seconds: listOf({ type: ['number', 'null'] }),
});
export const readingsSchema = listOf(
  whole({ timestamp: text, heart_rate: number, sensor_contact: { type: ['boolean', 'null'] } }),
);

export const formatQuery = (...formats: string[]): object => ({ type: 'object', properties: { format: { enum: formats } } });
export const deadLettersQuery = {
  type: 'object',
  properties: { limit: { type: 'integer', minimum: 1, maximum: 500 }, before: { type: 'integer', minimum: 1 } },
} as const;
export const deadLettersSchema = whole({
  total: number,
  dead_letters: listOf(
    whole({
      id: number,
      at: text,
      reason: text,
      detail: text,
      device: text,
      run: { type: ['string', 'null'] },
      seq: { type: ['number', 'null'] },
      bytes: number,
      payload: { type: 'string', description: 'At most 4,096 characters of it' },
      whole: { type: 'boolean', description: 'The payload is kept whole, so that it can be retried' },
    }),
  ),
});
export const idsBody = {
  type: 'object',
  properties: {
    ids: { type: 'array', items: { type: 'integer', minimum: 1 }, minItems: 1, maxItems: 1000 },
    all: { const: true },
  },
  additionalProperties: false,
} as const;
export const retriedSchema = whole({
  retried: number,
  left: { type: 'number', description: 'Chosen ones that are no readings and stay' },
});
export const discardedSchema = whole({ discarded: number });
export const acknowledgedSchema = whole({ acknowledged: bool });
export const backupSchema = whole({ file: text, bytes: number });
export const scanSchema = whole({ scanning: bool });
export const forgottenSchema = whole({ forgotten: text });
export const resetSchema = whole({ reset: text });
const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const;
export const logLevelBody = whole({ service: { enum: SERVICE_NAMES }, level: { enum: LEVELS } });
export const logLevelSchema = whole({ level: { enum: LEVELS } });
export const tokenBody = whole({ token: { type: 'string', maxLength: 200 } });
export const sessionSchema = whole({ operator: bool });
export const aliveSchema = whole({ status: { const: 'ok' } });

const problem = (description: string): object => ({
  description,
  content: { 'application/problem+json': { schema: problemSchema } },
});
/** What a route may answer: this, or a problem. */
export const answers = (schema: object): object => ({
  200: { description: 'Done', content: { 'application/json': { schema } } },
  '4XX': problem('Refused'),
  '5XX': problem('Failed'),
});
/** The same, where another media type can be asked for. */
export const answersAlso = (schema: object, type: string): object => ({
  ...answers(schema),
  200: { description: 'Done', content: { 'application/json': { schema }, [type]: { schema: text } } },
});
export const answersText = (type: string): object => ({
  200: { description: 'Text', content: { [type]: { schema: text } } },
  '4XX': problem('Refused'),
  '5XX': problem('Failed'),
});
