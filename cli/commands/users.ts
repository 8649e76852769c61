/**
 * `hr-gateway users`: names and rights of MQTT clients. The password is asked for on a terminal, else read from standard input; the bridge
 * of another box gets a generated key.
 */
import { randomBytes } from 'node:crypto';
import type { Command } from 'commander';
import { GATEWAY_PATTERN, SERVICE_NAMES } from '../../contract/topics.ts';
import { processConfig, type Config } from '../../service/config/config.ts';
import { requireVolumeOf } from '../../service/storage/data-volumes.ts';
import { EXIT_CODES } from '../frame/exit-codes.ts';
import { CommandFailure } from '../frame/failures.ts';
import { collect, listOf, textOf } from '../frame/options.ts';
import type { AddCommand } from '../frame/program.ts';

const PASSWORD_MIN_LENGTH = 8;

const listed = (filters: readonly string[]): string => filters.join(', ') || 'nothing';

/** The settings, if DATA_DIR is the folder that the gateway reads users from. Throws HrError `wrong_container`. */
function gatewayConfig(): Config {
  const config = processConfig();
  requireVolumeOf('gateway', config);
  return config;
}

async function readPassword(): Promise<string> {
  const { createInterface } = await import('node:readline/promises');
  const lines = createInterface({ input: process.stdin, ...(process.stdin.isTTY ? { output: process.stderr } : {}) });
  // On a terminal readline takes Ctrl-C for itself.
  lines.once('SIGINT', () => process.kill(process.pid, 'SIGINT'));
  try {
    return await new Promise((resolve) => {
      if (process.stdin.isTTY) void lines.question(`password (at least ${PASSWORD_MIN_LENGTH} characters): `).then(resolve);
      else lines.once('line', resolve);
      lines.once('close', () => resolve(''));
    });
  } finally {
    lines.close();
  }
}

/** Refuses, with exit code 2, a name or a filter that no user may have. */
async function checkUser(command: Command, name: string, rights: { subscribe: string[]; publish: string[] }): Promise<void> {
  if (!/^[A-Za-z0-9._-]{1,64}$/.test(name) || SERVICE_NAMES.some((service) => service === name))
    command.error('a user name is 1-64 letters, digits or . _ - and not the name of a service', { exitCode: EXIT_CODES.usage });
  const { filterFault } = await import('../../gateway/rights.ts');
  for (const kind of ['subscribe', 'publish'] as const)
    for (const filter of rights[kind]) {
      const fault = filterFault(kind, filter);
      if (fault !== undefined) command.error(`--${kind} ${filter}: ${fault}`, { exitCode: EXIT_CODES.usage });
    }
}

async function add(command: Command, name: string): Promise<void> {
  const rights = { subscribe: listOf(command, 'subscribe'), publish: listOf(command, 'publish') };
  const config = gatewayConfig();
  await checkUser(command, name, rights);
  const password = await readPassword();
  if (password.length < PASSWORD_MIN_LENGTH)
    throw new CommandFailure(`the password has fewer than ${PASSWORD_MIN_LENGTH} characters`);
  const { newUser, readUsers, writeUsers } = await import('../../gateway/users.ts');
  writeUsers(config, { ...readUsers(config), [name]: await newUser(password, rights) });
  console.log(
    `${name} may subscribe to ${listed(rights.subscribe)} and publish ${listed(rights.publish)}; no restart of the gateway is needed`,
  );
}

/** Refuses, with exit code 2, what cannot be the name of another box. */
async function checkBox(command: Command, option: string, gateway: string): Promise<void> {
  const { gatewayName } = await import('../../service/storage/data-dir.ts');
  if (!GATEWAY_PATTERN.test(gateway) || SERVICE_NAMES.some((service) => service === gateway))
    command.error(`${option}: the name of a box is 1-64 of a-z, 0-9 and -, and not the name of a service`, {
      exitCode: EXIT_CODES.usage,
    });
  if (gateway === gatewayName(gatewayConfig()))
    command.error(`${option} ${gateway}: that is the name of this box; give the other box a GATEWAY_NAME of its own`, {
      exitCode: EXIT_CODES.usage,
    });
}

/**
 * Adds the bridge of another box: a user of the name of that box, with a new key that is printed once. Under the earlier names of that box
 * its bridge may deliver what it still holds; a name that another user has is refused, since two bridges would deliver under it.
 */
async function addBridge(command: Command, gateway: string): Promise<void> {
  const config = gatewayConfig();
  await checkBox(command, '--bridge', gateway);
  const formerly = listOf(command, 'formerly');
  for (const name of formerly) await checkBox(command, '--formerly', name);
  const rights = { subscribe: listOf(command, 'subscribe'), publish: listOf(command, 'publish') };
  await checkUser(command, gateway, rights);
  const key = randomBytes(32).toString('base64url');
  const { newUser, readUsers, writeUsers } = await import('../../gateway/users.ts');
  const users = readUsers(config);
  for (const name of formerly)
    if (Object.values(users).some(({ bridge }) => bridge === name))
      command.error(`--formerly ${name}: a user has that name; remove it first (users remove ${name})`, {
        exitCode: EXIT_CODES.usage,
      });
  const user = await newUser(key, { ...rights, bridge: gateway, ...(formerly.length === 0 ? {} : { formerly }) });
  writeUsers(config, { ...users, [gateway]: user });
  console.log(
    [
      `# Settings of the box ${gateway}, which runs only the ble-bridge. The key is not shown again. HOST: this broker's address.`,
      `GATEWAY_NAME=${gateway}`,
      'MQTT_BROKER=external',
      `MQTT_URL=mqtts://${gateway}:${key}@HOST:8883`,
    ].join('\n'),
  );
}

async function list(): Promise<void> {
  const { readUsers } = await import('../../gateway/users.ts');
  for (const [user, { subscribe, publish, bridge, formerly = [] }] of Object.entries(readUsers(gatewayConfig()))) {
    const names = [bridge, ...formerly.map((name) => `formerly ${name}`)].join(', ');
    const role = bridge === undefined ? '' : `  bridge of ${names}`;
    console.log(`${user}${role}  subscribe: ${listed(subscribe)}  publish: ${listed(publish)}`);
  }
}

async function remove(name: string): Promise<void> {
  const { readUsers, writeUsers } = await import('../../gateway/users.ts');
  const config = gatewayConfig();
  const users = readUsers(config);
  if (!Object.hasOwn(users, name)) throw new CommandFailure(`there is no user ${name}`);
  writeUsers(config, Object.fromEntries(Object.entries(users).filter(([user]) => user !== name)));
  console.log(`${name} was removed`);
}

export const addUsers: AddCommand = (program) => {
  const users = program
    .command('users')
    .summary('manage the users of the MQTT broker')
    .description('Manages the users of the MQTT broker. A running gateway applies changes without a restart.');
  users
    .command('add')
    .summary('add a user, or replace its password and rights')
    .description(
      'Adds a user, or replaces its password and rights. Asks for the password, or reads it from standard input. With --bridge, ' +
        'adds the bridge of another box and prints a generated key.',
    )
    .argument('[name]', 'name of the user')
    .option('--bridge <gateway>', 'the GATEWAY_NAME of another box, whose bridge may deliver readings to this broker')
    .option('--formerly <gateway>', 'an earlier name of that box, under which it may still hold readings (repeatable)', collect)
    .option('--subscribe <filter>', 'topic filter that the user may subscribe to (repeatable)', collect)
    .option('--publish <filter>', 'topic filter that the user may publish to (repeatable)', collect)
    .action(async (name: string | undefined, _options: unknown, command: Command) => {
      const bridge = textOf(command, 'bridge');
      if (name === undefined && bridge === undefined)
        command.error("missing required argument 'name'", { exitCode: EXIT_CODES.usage });
      if (name !== undefined && bridge !== undefined)
        command.error('give either the name of a user, or --bridge <gateway>', { exitCode: EXIT_CODES.usage });
      if (bridge === undefined && listOf(command, 'formerly').length > 0)
        command.error('--formerly goes with --bridge <gateway>', { exitCode: EXIT_CODES.usage });
      if (bridge !== undefined) await addBridge(command, bridge);
      else if (name !== undefined) await add(command, name);
    });
  users
    .command('list')
    .summary('print the users and their rights')
    .description('Prints the users and their rights.')
    .action(list);
  users
    .command('remove')
    .summary('remove a user')
    .description('Removes a user and disconnects its clients.')
    .argument('<name>', 'name of the user')
    .action(remove);
};
