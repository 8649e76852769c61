/**
 * What the `hr-gateway` command asks of a running service through the service's control socket, `DATA_DIR/locks/<service>.sock`: one line
 * `{id, verb, args}`, answered by one line (response.ts). It never crosses the broker: users, token and settings are secrets. Only root and
 * the service's user can open the socket, and both can read DATA_DIR.
 */
import Type, { type Static } from 'typebox';
import { COMMANDS } from './commands.ts';
import { requestIdSchema } from './response.ts';
import { serviceStatusSchema } from './service-status.ts';
import { userSchema } from './users-file.ts';
import { parserOf } from './validate.ts';
import { checkersOf, noArgs, strict, type ArgsOf, type ResultOf, type VerbRow } from './verb-table.ts';

/** The size of a user with as many rights as the file of users allows. */
export const CONTROL_MAX_BYTES = 4 * 1024 * 1024;

export const controlRequestSchema = Type.Object(
  { id: requestIdSchema, verb: Type.String({ pattern: '^[a-z-]{1,64}$' }), args: Type.Record(Type.String(), Type.Unknown()) },
  { additionalProperties: false },
);

/** Parses a request without its arguments; never throws. */
export const parseControlRequest = parserOf(controlRequestSchema, CONTROL_MAX_BYTES);

/** Names of users of the broker. */
export const USER_NAME_PATTERN = /^[A-Za-z0-9._-]{1,64}$/;

const userName = Type.String({ pattern: USER_NAME_PATTERN.source });
const { salt: _salt, hash: _hash, ...rights } = userSchema.properties;

/** A setting in effect: its text as in an environment variable, and whether one sets it. */
export const settingInEffectSchema = Type.Object({ text: Type.String(), isSet: Type.Boolean() });
/** Settings that have a value, by name; secrets are included unmasked. */
export const settingsInEffectSchema = Type.Record(Type.String(), settingInEffectSchema);
export type SettingsInEffect = Static<typeof settingsInEffectSchema>;

export const CONTROL_COMMANDS = {
  'show-settings': { service: 'every', args: noArgs, result: settingsInEffectSchema },
  'show-status': { service: 'every', args: noArgs, result: serviceStatusSchema },
  'list-users': { service: 'gateway', args: noArgs, result: Type.Record(Type.String(), Type.Object(rights)) },
  'put-user': {
    service: 'gateway',
    args: Type.Object({ name: userName, user: userSchema }, strict),
    result: Type.Object({ name: userName }),
  },
  'remove-user': {
    service: 'gateway',
    args: Type.Object({ name: Type.String({ maxLength: 1000 }) }, strict),
    result: Type.Object({ removed: Type.String() }),
  },
  'rotate-token': { service: 'admin-api', args: noArgs, result: Type.Object({ token: Type.String() }) },
  backup: { service: 'forwarder', args: COMMANDS.backup.args, result: COMMANDS.backup.result },
} as const satisfies Record<string, VerbRow>;

export type ControlVerb = keyof typeof CONTROL_COMMANDS;
export type ControlArgs<V extends ControlVerb> = ArgsOf<typeof CONTROL_COMMANDS, V>;
export type ControlResult<V extends ControlVerb> = ResultOf<typeof CONTROL_COMMANDS, V>;

export const {
  argsCheckerOf: controlArgsCheckerOf,
  resultCheckerOf: controlResultCheckerOf,
  isVerb: isControlVerb,
} = checkersOf(CONTROL_COMMANDS);
