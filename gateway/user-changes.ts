/**
 * What `hr-gateway users` changes: the running gateway writes users.json on request, so that no user is added to a folder that no gateway
 * reads. The command hashes passwords itself; here every name and right is checked.
 */
import { USER_NAME_PATTERN, type ControlArgs, type ControlResult } from '../contract/control.ts';
import { SERVICE_NAMES } from '../contract/topics.ts';
import type { User } from '../contract/users-file.ts';
import type { Config } from '../service/config/config.ts';
import { HrError } from '../service/errors/errors.ts';
import { filterFault } from './rights.ts';
import { readUsers, writeUsers } from './users.ts';

type Located = Pick<Config, 'DATA_DIR'>;

/** Why no user may have this name and these rights, or undefined. */
export function userFault(name: string, rights: Pick<User, 'publish' | 'subscribe'>): string | undefined {
  if (!USER_NAME_PATTERN.test(name) || SERVICE_NAMES.some((service) => service === name))
    return 'a user name is 1-64 letters, digits or . _ - and not the name of a service';
  for (const kind of ['subscribe', 'publish'] as const)
    for (const filter of rights[kind]) {
      const fault = filterFault(kind, filter);
      if (fault !== undefined) return `--${kind} ${filter}: ${fault}`;
    }
  return undefined;
}

/** Why a user may not stand for the bridge of another box, or undefined: two bridges would deliver under one name. */
function bridgeFault(own: string, { bridge, formerly = [] }: User, users: Record<string, User>): string | undefined {
  if (bridge === undefined) return undefined;
  for (const [option, name] of [['--bridge', bridge], ...formerly.map((each) => ['--formerly', each])])
    if (name === own) return `${option} ${name}: that is the name of this box; give the other box a GATEWAY_NAME of its own`;
  const taken = formerly.find((name) => Object.values(users).some((user) => user.bridge === name));
  return taken === undefined
    ? undefined
    : `--formerly ${taken}: a user has that name; remove it first (hr-gateway users remove ${taken})`;
}

/** Adds a user, or replaces its password and rights. `own`: name of this box. Throws HrError `command_invalid`, `users_unreadable`. */
export function putUser(config: Located, own: string, { name, user }: ControlArgs<'put-user'>): void {
  const users = readUsers(config);
  const fault = userFault(name, user) ?? bridgeFault(own, user, users);
  if (fault !== undefined) throw new HrError('command_invalid', { operation: 'add a user', detail: fault });
  writeUsers(config, { ...users, [name]: user });
}

/** Throws HrError `user_unknown`, `users_unreadable`. */
export function removeUser(config: Located, name: string): void {
  const users = readUsers(config);
  if (!Object.hasOwn(users, name)) throw new HrError('user_unknown', { operation: 'remove a user', detail: name });
  writeUsers(config, Object.fromEntries(Object.entries(users).filter(([user]) => user !== name)));
}

/** Names and rights of all users. Throws HrError `users_unreadable`. */
export function listUsers(config: Located): ControlResult<'list-users'> {
  return Object.fromEntries(
    Object.entries(readUsers(config)).map(([name, { salt: _salt, hash: _hash, ...rights }]) => [name, rights]),
  );
}
