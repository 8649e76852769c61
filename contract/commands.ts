/**
 * Commands: `edge/<service>/request/<verb>` with `{id, reply_to, args}`, answered on `edge/<service>/response/<id>`
 * with `{id, ok, result}` or `{id, ok: false, error: {code, message, hint}}`. The table is the whole list.
 */
import type { FromSchema } from 'json-schema-to-ts';
import type { ServiceName } from './topics.ts';
import { untypedValidatorOf, validatorOf, type Validated } from './validate.ts';

export const requestSchema = {
  $id: 'request',
  type: 'object',
  properties: { id: { type: 'string', pattern: '^[A-Za-z0-9-]{1,64}$' }, args: { type: 'object' } },
  required: ['id'],
  additionalProperties: false,
} as const;
export type RequestMessage = FromSchema<typeof requestSchema>;
export const checkRequest = validatorOf(requestSchema);

export const responseSchema = {
  $id: 'response',
  type: 'object',
  properties: {
    id: { type: 'string' },
    ok: { type: 'boolean' },
    result: {},
    error: {
      type: 'object',
      properties: { code: { type: 'string' }, message: { type: 'string' }, hint: { type: 'string' } },
      required: ['code', 'message', 'hint'],
      additionalProperties: false,
    },
  },
  required: ['id', 'ok'],
  additionalProperties: false,
} as const;
/** By hand: the derived type of a free `result` is too deep for the compiler. */
export interface ResponseMessage {
  id: string;
  ok: boolean;
  result?: unknown;
  error?: { code: string; message: string; hint: string };
}
export const checkResponse = untypedValidatorOf(responseSchema) as (value: unknown) => Validated<ResponseMessage>;

interface CommandRow {
  /** Who answers; `every` = all services. */
  service: ServiceName | 'every';
  summary: string;
  /** A JSON schema. */
  args: object;
}

const noArgs = { type: 'object', additionalProperties: false } as const;
const ids = {
  type: 'object',
  properties: {
    ids: { type: 'array', items: { type: 'integer', minimum: 1 }, minItems: 1, maxItems: 1000 },
    all: { const: true },
  },
  additionalProperties: false,
} as const;
const device = {
  type: 'object',
  properties: { device: { type: 'string', pattern: '^[a-z0-9-]{1,64}$' } },
  required: ['device'],
  additionalProperties: false,
} as const;

export const COMMANDS = {
  'list-dead-letters': {
    service: 'forwarder',
    summary: 'Dead letters, newest first: {dead_letters: [{id, at, reason, device, run, seq, bytes, payload}], total}',
    args: {
      type: 'object',
      properties: { limit: { type: 'integer', minimum: 1, maximum: 500 }, before: { type: 'integer', minimum: 1 } },
      additionalProperties: false,
    },
  },
  'retry-dead-letters': { service: 'forwarder', summary: 'Puts dead letters back into the queue: {retried}', args: ids },
  'discard-dead-letters': {
    service: 'forwarder',
    summary: 'Gives dead letters up, counted as evicted (discarded): {discarded}',
    args: ids,
  },
  'acknowledge-damage': {
    service: 'forwarder',
    summary: 'The report of a damaged queue file has been read: {acknowledged}',
    args: noArgs,
  },
  backup: {
    service: 'forwarder',
    summary: 'Online copy of the queue into DATA_DIR/backups: {file, bytes}',
    args: noArgs,
  },
  'scan-now': { service: 'ble-bridge', summary: 'Restarts the scan for straps: {scanning}', args: noArgs },
  'forget-device': {
    service: 'ble-bridge',
    summary: 'Removes a strap: its retained topics and its kept name: {forgotten}',
    args: device,
  },
  'reset-energy': { service: 'ble-bridge', summary: 'Sets the energy count of a strap to 0 (0x2A39): {reset}', args: device },
  'set-log-level': {
    service: 'every',
    summary: 'Changes the log level until the next start: {level}',
    args: {
      type: 'object',
      properties: { level: { enum: ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] } },
      required: ['level'],
      additionalProperties: false,
    },
  },
} as const satisfies Record<string, CommandRow>;
export type CommandVerb = keyof typeof COMMANDS;

/** Arguments by verb, derived from the schemas one by one: derived generically they are too deep for the compiler. */
interface ArgsByVerb {
  'list-dead-letters': FromSchema<(typeof COMMANDS)['list-dead-letters']['args']>;
  'retry-dead-letters': FromSchema<typeof ids>;
  'discard-dead-letters': FromSchema<typeof ids>;
  'acknowledge-damage': FromSchema<typeof noArgs>;
  backup: FromSchema<typeof noArgs>;
  'scan-now': FromSchema<typeof noArgs>;
  'forget-device': FromSchema<typeof device>;
  'reset-energy': FromSchema<typeof device>;
  'set-log-level': FromSchema<(typeof COMMANDS)['set-log-level']['args']>;
}
export type CommandArgs<V extends CommandVerb> = ArgsByVerb[V];
