/**
 * Commands: a request `{id, args}` on `edge/<service>/request/<verb>` is answered on `edge/<service>/response/<id>` (response.ts).
 * The table lists every command with its arguments and its result. Arguments are acted on, so unknown ones are refused.
 */
import Type, { type Static } from 'typebox';
import { deadLettersSchema } from './dead-letter.ts';
import { countSchema, deviceNameSchema, runSchema } from './fields.ts';
import { personFields } from './person.ts';
import { requestIdSchema } from './response.ts';
import { runAccountSchema } from './run-account.ts';
import { parserOf } from './validate.ts';
import { checkersOf, noArgs, strict, type ArgsOf, type ResultOf, type VerbRow } from './verb-table.ts';

export const requestSchema = Type.Object(
  { id: requestIdSchema, args: Type.Optional(Type.Record(Type.String(), Type.Unknown())) },
  { additionalProperties: false },
);
export type RequestMessage = Static<typeof requestSchema>;

/** Parses a request without its arguments; never throws. */
export const parseRequest = parserOf(requestSchema);

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const;

const idSchema = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER });
const chosenLetters = Type.Object(
  {
    ids: Type.Optional(Type.Array(idSchema, { minItems: 1, maxItems: 1000 })),
    all: Type.Optional(Type.Literal(true)),
  },
  strict,
);
/** The name of a box as a reading carries it: older versions allowed any text. */
const gatewaySchema = Type.String({ minLength: 1, maxLength: 200 });
const device = Type.Object({ device: deviceNameSchema }, strict);
const level = Type.Object({ level: Type.Enum(LOG_LEVELS) }, strict);

interface CommandRow extends VerbRow {
  summary: string;
}

export const COMMANDS = {
  'list-dead-letters': {
    service: 'forwarder',
    summary: 'Lists dead letters, newest first',
    args: Type.Object(
      { limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 500 })), before: Type.Optional(idSchema) },
      strict,
    ),
    result: deadLettersSchema,
  },
  'retry-dead-letters': {
    service: 'forwarder',
    summary: 'Moves dead letters back into the queue',
    args: chosenLetters,
    result: Type.Object({
      retried: countSchema,
      left: Type.Integer({ minimum: 0, description: 'Chosen ones that are not whole readings and stay' }),
    }),
  },
  'discard-dead-letters': {
    service: 'forwarder',
    summary: 'Drops dead letters; they are counted as evicted (discarded)',
    args: chosenLetters,
    result: Type.Object({ discarded: countSchema }),
  },
  'show-run': {
    service: 'forwarder',
    summary: 'What became of each reading of a run',
    args: Type.Object({ run: runSchema, gateway: Type.Optional(gatewaySchema), from: Type.Optional(idSchema) }, strict),
    result: runAccountSchema,
  },
  'acknowledge-damage': {
    service: 'forwarder',
    summary: 'Ends the report of a damaged queue file: an operator has read it',
    args: noArgs,
    result: Type.Object({ acknowledged: Type.Boolean() }),
  },
  backup: {
    service: 'forwarder',
    summary: 'Makes an online copy of the queue in DATA_DIR/backups',
    args: noArgs,
    result: Type.Object({ file: Type.String({ maxLength: 4096 }), bytes: countSchema }),
  },
  'scan-now': {
    service: 'ble-bridge',
    summary: 'Restarts the scan for straps',
    args: noArgs,
    result: Type.Object({ scanning: Type.Boolean() }),
  },
  'forget-device': {
    service: 'ble-bridge',
    summary: 'Removes a strap: its retained topics and its stored name',
    args: device,
    result: Type.Object({ forgotten: deviceNameSchema }),
  },
  'rename-device': {
    service: 'ble-bridge',
    summary: 'Enters who wears a strap; what is left out stays as it is, null removes it',
    args: Type.Object({ device: deviceNameSchema, ...Type.Partial(Type.Object(personFields)).properties }, strict),
    result: Type.Object({ device: deviceNameSchema, ...personFields }),
  },
  'reset-energy': {
    service: 'ble-bridge',
    summary: 'Resets the energy count of a strap to 0 (0x2A39)',
    args: device,
    result: Type.Object({ reset: deviceNameSchema }),
  },
  'set-log-level': {
    service: 'every',
    summary: 'Changes the log level until the next start',
    args: level,
    result: Type.Object({ level: Type.Enum(LOG_LEVELS) }),
  },
} as const satisfies Record<string, CommandRow>;

export type CommandVerb = keyof typeof COMMANDS;
export type CommandArgs<V extends CommandVerb> = ArgsOf<typeof COMMANDS, V>;
export type CommandResult<V extends CommandVerb> = ResultOf<typeof COMMANDS, V>;

export const { argsCheckerOf, resultCheckerOf, isVerb: isCommandVerb } = checkersOf(COMMANDS);
