/**
 * What the `hr-gateway` command asks of a running service through the service's control socket, `DATA_DIR/locks/<service>.sock`: one line
 * `{id, verb, args}`, answered by one line (response.ts). It never crosses the broker: users, token and settings are secrets, and whoever
 * may open the socket may read DATA_DIR anyway.
 */
import Type, { type Static, type TSchema } from 'typebox';
import { COMMANDS } from './commands.ts';
import { requestIdSchema } from './response.ts';
import { serviceStatusSchema } from './service-status.ts';
import type { ServiceName } from './topics.ts';
import { userSchema } from './users-file.ts';
import { checkerOf, parserOf, type Checker } from './validate.ts';

/** A user with all rights that the file of users allows has about this much. */
export const CONTROL_MAX_BYTES = 4 * 1024 * 1024;

export const controlRequestSchema = Type.Object(
  { id: requestIdSchema, verb: Type.String({ pattern: '^[a-z-]{1,64}$' }), args: Type.Record(Type.String(), Type.Unknown()) },
  { additionalProperties: false },
);

/** Parses a request without its arguments; never throws. */
export const parseControlRequest = parserOf(controlRequestSchema, CONTROL_MAX_BYTES);

/** Names of users of the broker. */
export const USER_NAME_PATTERN = /^[A-Za-z0-9._-]{1,64}$/;

const strict = { additionalProperties: false } as const;
const noArgs = Type.Object({}, strict);
const userName = Type.String({ pattern: USER_NAME_PATTERN.source });
const { salt: _salt, hash: _hash, ...rights } = userSchema.properties;

/** A setting in effect: as a variable of the environment would say it, and whether one does. */
export const settingInEffectSchema = Type.Object({ text: Type.String(), isSet: Type.Boolean() });
/** Those that have a value, by name; as they are, secrets included. */
export const settingsInEffectSchema = Type.Record(Type.String(), settingInEffectSchema);
export type SettingsInEffect = Static<typeof settingsInEffectSchema>;

interface ControlRow {
  /** The service that answers; `every`: each of them. */
  service: ServiceName | 'every';
  args: TSchema;
  result: TSchema;
}

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
} as const satisfies Record<string, ControlRow>;

export type ControlVerb = keyof typeof CONTROL_COMMANDS;
export type ControlArgs<V extends ControlVerb> = Static<(typeof CONTROL_COMMANDS)[V]['args']>;
export type ControlResult<V extends ControlVerb> = Static<(typeof CONTROL_COMMANDS)[V]['result']>;

export const controlArgsCheckerOf = <V extends ControlVerb>(verb: V): Checker<ControlArgs<V>> =>
  checkerOf<(typeof CONTROL_COMMANDS)[V]['args']>(CONTROL_COMMANDS[verb].args);
export const controlResultCheckerOf = <V extends ControlVerb>(verb: V): Checker<ControlResult<V>> =>
  checkerOf<(typeof CONTROL_COMMANDS)[V]['result']>(CONTROL_COMMANDS[verb].result);

/** Type guard for the verb of a request. */
export const isControlVerb = (verb: string): verb is ControlVerb => Object.hasOwn(CONTROL_COMMANDS, verb);
