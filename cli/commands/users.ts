/**
 * `npm run users`: names and rights of MQTT clients. The password is asked for, or read from standard input.
 * `-- add anna --subscribe 'hr/+/bpm' [--publish FILTER]`, `-- list`, `-- remove anna`.
 */
import { createInterface } from 'node:readline/promises';
import { parseArgs } from 'node:util';
import { SERVICE_NAMES } from '../contract/topics.ts';
import { filterFault } from '../gateway/rights.ts';
import { newUser, readUsers, writeUsers } from '../gateway/users.ts';
import { processConfig, type Config } from '../service/config/config.ts';
import { reportStartFailure } from '../service/process/lifecycle.ts';

const USAGE = 'usage: npm run users -- add NAME --subscribe FILTER [--publish FILTER] | list | remove NAME';

async function readPassword(): Promise<string> {
  const lines = createInterface({ input: process.stdin, ...(process.stdin.isTTY ? { output: process.stderr } : {}) });
  try {
    return await new Promise((resolve) => {
      if (process.stdin.isTTY) void lines.question('password (at least 8 characters): ').then(resolve);
      else lines.once('line', resolve);
      lines.once('close', () => resolve(''));
    });
  } finally {
    lines.close();
  }
}

async function add(config: Config, name: string, rights: { subscribe: string[]; publish: string[] }): Promise<number> {
  if (!/^[A-Za-z0-9._-]{1,64}$/.test(name) || SERVICE_NAMES.some((service) => service === name)) {
    console.error('a name is 1-64 of letters, digits, . _ - and not that of a service');
    return 1;
  }
  for (const kind of ['subscribe', 'publish'] as const)
    for (const filter of rights[kind]) {
      const fault = filterFault(kind, filter);
      if (fault === undefined) continue;
      console.error(`--${kind} ${filter}: ${fault}`);
      return 1;
    }
  const password = await readPassword();
  if (password.length < 8) {
    console.error('the password has less than 8 characters');
    return 1;
  }
  writeUsers(config, { ...readUsers(config), [name]: await newUser(password, rights) });
  console.log(
    `${name} may subscribe to ${rights.subscribe.join(', ') || 'nothing'} and publish ${rights.publish.join(', ') || 'nothing'}; a running gateway takes it up by itself`,
  );
  return 0;
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      subscribe: { type: 'string', multiple: true, default: [] },
      publish: { type: 'string', multiple: true, default: [] },
    },
  });
  const config = processConfig();
  const [verb, name] = positionals;
  if (verb === 'list') {
    for (const [user, { subscribe, publish }] of Object.entries(readUsers(config)))
      console.log(`${user}  subscribe: ${subscribe.join(', ') || 'nothing'}  publish: ${publish.join(', ') || 'nothing'}`);
    return 0;
  }
  if (verb === 'add' && name !== undefined) return await add(config, name, values);
  if (verb === 'remove' && name !== undefined) {
    const users = readUsers(config);
    if (!Object.hasOwn(users, name)) {
      console.error(`there is no user ${name}`);
      return 1;
    }
    writeUsers(config, Object.fromEntries(Object.entries(users).filter(([user]) => user !== name)));
    console.log(`${name} was removed`);
    return 0;
  }
  console.error(USAGE);
  return 2;
}

try {
  process.exitCode = await main();
} catch (error) {
  process.exitCode = reportStartFailure(error);
}
