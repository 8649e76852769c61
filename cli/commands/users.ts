/**
 * `hr-gateway users`: names and rights of MQTT clients. The running gateway makes the changes. The password is asked for on a terminal,
 * else read from standard input, and only its hash leaves this process; the bridge of another box gets a generated key.
 */
import { randomBytes } from 'node:crypto';
import type { Command } from 'commander';
import type { ControlResult } from '../../contract/control.ts';
import { GATEWAY_PATTERN, SERVICE_NAMES } from '../../contract/topics.ts';
import type { User } from '../../contract/users-file.ts';
import { processConfig } from '../../service/config/config.ts';
import type { Box } from '../box/box.ts';
import { EXIT_CODES } from '../frame/exit-codes.ts';
import { CommandFailure } from '../frame/failures.ts';
import { collect, flagOf, listOf, textOf } from '../frame/options.ts';
import type { AddCommand } from '../frame/program.ts';

const PASSWORD_MIN_LENGTH = 8;

type Rights = Omit<User, 'salt' | 'hash'>;

const listed = (filters: readonly string[]): string => filters.join(', ') || 'nothing';
const readable = ({ subscribe, operator }: Pick<Rights, 'subscribe' | 'operator'>): string =>
  operator === true ? 'everything' : listed(subscribe);

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

async function theBox(): Promise<Box> {
  const { findBox } = await import('../box/box.ts');
  return await findBox(processConfig());
}

/** Has the gateway of the box add the user, whose name and rights are checked there, too. */
async function put(box: Box, name: string, password: string, rights: Rights): Promise<void> {
  const { askBox } = await import('../box/box.ts');
  const { newUser } = await import('../../gateway/users.ts');
  await askBox(box, 'gateway', 'put-user', { name, user: await newUser(password, rights) });
}

/** Refuses, with exit code 2, a name or a filter that no user may have. */
async function checkUser(command: Command, name: string, rights: Rights): Promise<void> {
  const { userFault } = await import('../../gateway/user-changes.ts');
  const fault = userFault(name, rights);
  if (fault !== undefined) command.error(fault, { exitCode: EXIT_CODES.usage });
}

async function add(command: Command, name: string, rights: Rights): Promise<void> {
  processConfig();
  await checkUser(command, name, rights);
  const password = await readPassword();
  if (password.length < PASSWORD_MIN_LENGTH)
    throw new CommandFailure(`the password has fewer than ${PASSWORD_MIN_LENGTH} characters`);
  await put(await theBox(), name, password, rights);
  if (flagOf(command, 'json')) console.log(JSON.stringify({ name, ...rights }));
  else
    console.log(
      `${name} may subscribe to ${readable(rights)} and publish ${listed(rights.publish)}; no restart of the gateway is needed`,
    );
}

/** Refuses, with exit code 2, what cannot be the name of another box; the gateway knows its own name. */
function checkBox(command: Command, option: string, gateway: string): void {
  if (!GATEWAY_PATTERN.test(gateway) || SERVICE_NAMES.some((service) => service === gateway))
    command.error(`${option}: the name of a box is 1-64 of a-z, 0-9 and -, and not the name of a service`, {
      exitCode: EXIT_CODES.usage,
    });
}

/**
 * Adds the bridge of another box: a user of the name of that box, with a new key that is printed once. Under the earlier names of that box
 * its bridge may deliver what it still holds.
 */
async function addBridge(command: Command, gateway: string, { publish, subscribe }: Rights): Promise<void> {
  checkBox(command, '--bridge', gateway);
  const formerly = listOf(command, 'formerly');
  for (const name of formerly) checkBox(command, '--formerly', name);
  const rights: Rights = { publish, subscribe, bridge: gateway, ...(formerly.length === 0 ? {} : { formerly }) };
  await checkUser(command, gateway, rights);
  const key = randomBytes(32).toString('base64url');
  await put(await theBox(), gateway, key, rights);
  const url = `mqtts://${gateway}:${key}@HOST:8883`;
  if (flagOf(command, 'json'))
    return console.log(
      JSON.stringify({ name: gateway, settings: { GATEWAY_NAME: gateway, MQTT_BROKER: 'external', MQTT_URL: url } }),
    );
  console.log(
    [
      `# Settings of the box ${gateway}, which runs only the ble-bridge. The key is not shown again. HOST: this broker's address.`,
      `GATEWAY_NAME=${gateway}`,
      'MQTT_BROKER=external',
      `MQTT_URL=${url}`,
    ].join('\n'),
  );
}

/** The users of the running gateway, else those in its folder. */
async function usersOf(box: Box): Promise<ControlResult<'list-users'>> {
  const { askBox, requireUsed, sayNotRunning } = await import('../box/box.ts');
  if (box.running.has('gateway')) return await askBox(box, 'gateway', 'list-users', {});
  requireUsed(box, 'gateway');
  const { listUsers } = await import('../../gateway/user-changes.ts');
  const users = listUsers({ DATA_DIR: box.dataDir });
  sayNotRunning(box, 'read from users.json');
  return users;
}

async function list(_options: unknown, command: Command): Promise<void> {
  const users = await usersOf(await theBox());
  if (flagOf(command, 'json')) return console.log(JSON.stringify(users, undefined, 2));
  for (const [user, { bridge, formerly = [], ...rights }] of Object.entries(users)) {
    const names = [bridge, ...formerly.map((name) => `formerly ${name}`)].join(', ');
    const role = bridge === undefined ? '' : `  bridge of ${names}`;
    console.log(`${user}${role}  subscribe: ${readable(rights)}  publish: ${listed(rights.publish)}`);
  }
}

async function remove(name: string, _options: unknown, command: Command): Promise<void> {
  const { askBox } = await import('../box/box.ts');
  const { removed } = await askBox(await theBox(), 'gateway', 'remove-user', { name });
  console.log(flagOf(command, 'json') ? JSON.stringify({ removed }) : `${removed} was removed`);
}

export const addUsers: AddCommand = (program) => {
  const users = program
    .command('users')
    .summary('manage the users of the MQTT broker')
    .description('Manages the users of the MQTT broker. The running gateway makes the changes, without a restart.');
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
    .option('--operator', 'the user may subscribe to everything: # and $SYS/#, names of people and what services send included')
    .option('--subscribe <filter>', 'topic filter that the user may subscribe to (repeatable)', collect)
    .option('--publish <filter>', 'topic filter that the user may publish to (repeatable)', collect)
    .option('--json', 'print the result as JSON')
    .action(async (name: string | undefined, _options: unknown, command: Command) => {
      const bridge = textOf(command, 'bridge');
      const rights: Rights = {
        subscribe: listOf(command, 'subscribe'),
        publish: listOf(command, 'publish'),
        ...(flagOf(command, 'operator') ? { operator: true } : {}),
      };
      if (name === undefined && bridge === undefined)
        command.error("missing required argument 'name'", { exitCode: EXIT_CODES.usage });
      if (name !== undefined && bridge !== undefined)
        command.error('give either the name of a user, or --bridge <gateway>', { exitCode: EXIT_CODES.usage });
      if (bridge === undefined && listOf(command, 'formerly').length > 0)
        command.error('--formerly goes with --bridge <gateway>', { exitCode: EXIT_CODES.usage });
      if (bridge !== undefined && rights.operator === true)
        command.error('--operator goes with the name of a user, not with --bridge', { exitCode: EXIT_CODES.usage });
      if (bridge !== undefined) await addBridge(command, bridge, rights);
      else if (name !== undefined) await add(command, name, rights);
    });
  users
    .command('list')
    .summary('print the users and their rights')
    .description('Prints the users and their rights.')
    .option('--json', 'print them as JSON')
    .action(list);
  users
    .command('remove')
    .summary('remove a user')
    .description('Removes a user and disconnects its clients.')
    .argument('<name>', 'name of the user')
    .option('--json', 'print the result as JSON')
    .action(remove);
};
