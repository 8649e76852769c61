/** Schemas of requests, and of answers by HTTP status: they validate, serialize and describe (openapi.json). */
import Type, { type Static, type TSchema } from 'typebox';
import { COMMANDS, LOG_LEVELS } from '../contract/commands.ts';
import { anyDeviceNameSchema, deviceNameSchema } from '../contract/fields.ts';
import { personFields } from '../contract/person.ts';
import { SERVICE_NAMES } from '../contract/topics.ts';
import { problemSchema } from './problem.ts';

const strict = { additionalProperties: false } as const;

/** Any device, those of other clients included. */
export const deviceParams = Type.Object({ id: anyDeviceNameSchema });
export const strapParams = Type.Object({ id: deviceNameSchema });
export type DeviceParams = Static<typeof deviceParams>;

export const healthQuery = Type.Object({ format: Type.Optional(Type.Enum(['json', 'text'])) });
export type HealthQuery = Static<typeof healthQuery>;
export const readingsQuery = Type.Object({ format: Type.Optional(Type.Enum(['json', 'csv'])) });
export type ReadingsQuery = Static<typeof readingsQuery>;
/** Like the arguments of the command, but unknown parameters are ignored. */
export const deadLettersQuery = Type.Object({ ...COMMANDS['list-dead-letters'].args.properties });
const { run, gateway, from } = COMMANDS['show-run'].args.properties;
export const runParams = Type.Object({ run });
export type RunParams = Static<typeof runParams>;
export const runQuery = Type.Object({ gateway, from });
export type RunQuery = Static<typeof runQuery>;

/** Like the arguments of the command; an empty name, as a form sends it, removes the name too. */
export const renameBody = Type.Object(
  {
    name: Type.Optional(Type.Union([personFields.name, Type.Literal('')])),
    max_heart_rate: Type.Optional(personFields.max_heart_rate),
  },
  strict,
);
export type RenameBody = Static<typeof renameBody>;

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
