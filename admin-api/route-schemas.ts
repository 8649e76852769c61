/** Schemas of requests and answers: they validate, serialize and describe (openapi.json). Those of commands are the contract's. */
import Type, { type Static, type TSchema } from 'typebox';
import { checkSchema } from '../contract/check.ts';
import { COMMANDS, LOG_LEVELS } from '../contract/commands.ts';
import { deviceStatusSchema, gapSchema } from '../contract/device-status.ts';
import { anyDeviceNameSchema, deviceNameSchema, nullable, timeSchema } from '../contract/fields.ts';
import { forwarderStatusSchema } from '../contract/forwarder-status.ts';
import { SERVICE_NAMES } from '../contract/topics.ts';
import { problemSchema } from './problem.ts';

const strict = { additionalProperties: false } as const;

/** Any device, those of other clients included. */
export const deviceParams = Type.Object({ id: anyDeviceNameSchema });
export const strapParams = Type.Object({ id: deviceNameSchema });
export type DeviceParams = Static<typeof deviceParams>;

export const deviceSchema = Type.Object({
  ...deviceStatusSchema.properties,
  device: anyDeviceNameSchema,
  last_gap: nullable(gapSchema),
  publisher: nullable(
    Type.String({
      description: 'The user that publishes it; null: a strap; empty: another client, and the broker does not tell',
    }),
  ),
});

export const HEALTH_STATUSES = ['ok', 'degraded', 'down'] as const;
export const healthSchema = Type.Object({ status: Type.Enum(HEALTH_STATUSES), checks: Type.Array(checkSchema) });

export const queueSchema = Type.Object({
  ...forwarderStatusSchema.properties,
  as_of: Type.String({ ...timeSchema, description: 'When the forwarder published this' }),
  stale: Type.Boolean({ description: 'True: last known values of a forwarder that is offline or has stopped publishing' }),
});
export type QueueAnswer = Static<typeof queueSchema>;

export const historySchema = Type.Object({
  at: Type.Array(Type.Number(), { description: 'Seconds since 1970' }),
  depth: Type.Array(nullable(Type.Number())),
  oldest_age_seconds: Type.Array(nullable(Type.Number())),
});
export const readingsSchema = Type.Array(
  Type.Object({ timestamp: Type.String(), heart_rate: Type.Number(), sensor_contact: nullable(Type.Boolean()) }),
);

export const healthQuery = Type.Object({ format: Type.Optional(Type.Enum(['json', 'text'])) });
export type HealthQuery = Static<typeof healthQuery>;
export const readingsQuery = Type.Object({ format: Type.Optional(Type.Enum(['json', 'csv'])) });
export type ReadingsQuery = Static<typeof readingsQuery>;
/** Like the arguments of the command, but unknown parameters are ignored. */
export const deadLettersQuery = Type.Object({ ...COMMANDS['list-dead-letters'].args.properties });

export const logLevelBody = Type.Object({ service: Type.Enum(SERVICE_NAMES), level: Type.Enum(LOG_LEVELS) }, strict);
export type LogLevelBody = Static<typeof logLevelBody>;
export const tokenBody = Type.Object({ token: Type.String({ maxLength: 200 }) }, strict);
export type TokenBody = Static<typeof tokenBody>;
export const sessionSchema = Type.Object({ operator: Type.Boolean() });
export const aliveSchema = Type.Object({ status: Type.Literal('ok') });

const problem = (description: string): object => ({
  description,
  content: { 'application/problem+json': { schema: problemSchema } },
});
/** What a route may answer: this, or a problem. */
export const answers = (schema: TSchema): object => ({
  200: { description: 'Done', content: { 'application/json': { schema } } },
  '4XX': problem('Refused'),
  '5XX': problem('Failed'),
});
/** The same, if another media type can be asked for. */
export const answersAlso = (schema: TSchema, type: string): object => ({
  ...answers(schema),
  200: { description: 'Done', content: { 'application/json': { schema }, [type]: { schema: Type.String() } } },
});
export const answersText = (type: string): object => ({
  200: { description: 'Text', content: { [type]: { schema: Type.String() } } },
  '4XX': problem('Refused'),
  '5XX': problem('Failed'),
});
