/**
 * `hr-gateway acl mosquitto`: prints the rights that the services of this box need on a broker that is not ours, one user a box. With
 * them no other client can publish on the delivery plane, whatever it may publish under `hr/`.
 */
import type { Command } from 'commander';
import { GATEWAY_PATTERN } from '../../contract/topics.ts';
import { EXIT_CODES } from '../frame/exit-codes.ts';
import { CommandFailure } from '../frame/failures.ts';
import { collect, flagOf, listOf } from '../frame/options.ts';
import type { AddCommand } from '../frame/program.ts';

const HASH_ITERATIONS = 101;

/** A line of Mosquitto's password file: PBKDF2 with SHA-512, as `mosquitto_passwd` of Mosquitto 2 writes it. */
async function passwordLine(user: string, password: string): Promise<string> {
  const { pbkdf2Sync, randomBytes } = await import('node:crypto');
  const salt = randomBytes(12);
  const hash = pbkdf2Sync(password, salt, HASH_ITERATIONS, 64, 'sha512');
  return `${user}:$7$${HASH_ITERATIONS}$${salt.toString('base64')}$${hash.toString('base64')}`;
}

/** What the forwarder and the admin API of this box need on the topics of another box that they serve (FORWARDER_GATEWAYS). */
function servedLines(gateway: string): string[] {
  const name = gateway === '*' ? '+' : gateway;
  return [
    `topic read edge/${name}/offer/+`,
    `topic read edge/${name}/readings/+`,
    `topic write edge/${name}/stored/+`,
    `topic read edge/${name}/+/metrics`,
    `topic read edge/${name}/person/+`,
    `topic write edge/${name}/+/request/+`,
    `topic read edge/${name}/+/response/+`,
  ];
}

/** What the bridge needs under an earlier name of this box, to deliver what it still holds. */
const formerLines = (gateway: string): string[] =>
  ['offer', 'readings', 'stored'].map((kind) => `topic readwrite edge/${gateway}/${kind}/+`);

interface MosquittoRights {
  password_file: string;
  acl_file: string[];
  /** Of this box. */
  settings: Record<string, string>;
}

async function mosquittoRights(formerly: readonly string[]): Promise<MosquittoRights> {
  const { randomBytes } = await import('node:crypto');
  const { findBoxWithConfig, sayNotRunning } = await import('../box/box.ts');
  const { storedGatewayName } = await import('../../service/storage/data-dir.ts');
  const { box: found, config } = await findBoxWithConfig();
  const box = config.GATEWAY_NAME ?? storedGatewayName(config);
  if (box === undefined)
    throw new CommandFailure(
      'the name of this box is not known yet: set GATEWAY_NAME, or start the box once; nothing was written',
    );
  if (config.GATEWAY_NAME === undefined && found.running.size === 0)
    sayNotRunning(found, `a box that is started here would be named ${box}`);
  const served = config.FORWARDER_GATEWAYS.filter((name) => name !== box && !formerly.includes(name));
  const password = randomBytes(24).toString('base64url');
  const servedRights =
    served.length === 0 ? [] : ['# Of the boxes in FORWARDER_GATEWAYS, what they deliver here.', ...served.flatMap(servedLines)];
  return {
    password_file: await passwordLine(box, password),
    acl_file: [
      '# This box. Nobody else may publish or subscribe to anything of it under edge/, except to its statuses.',
      `user ${box}`,
      `topic readwrite edge/${box}/#`,
      ...formerly.flatMap(formerLines),
      'topic readwrite edge/sync',
      'topic readwrite hr/+/bpm',
      'topic readwrite hr/+/status',
      'topic readwrite hr/+/gap',
      'topic readwrite homeassistant/#',
      '# Of other boxes on this broker, their statuses only.',
      'topic read edge/+/+/status',
      ...servedRights,
      '# What 1.0.0 left retained is cleared, and its bridges are reported.',
      'topic readwrite edge/+/status',
      'topic read edge/source/+',
      '# Home Assistant, whose discovery has the names of people. Not needed if its user may do everything already.',
      'user home-assistant',
      'topic read hr/#',
      'topic read edge/+/+/status',
      'topic readwrite homeassistant/status',
      'topic read homeassistant/#',
      '# Another reader: give each such lines.',
      'user reader',
      'topic read hr/#',
      'topic read edge/+/+/status',
      '# An app that publishes readings of its own device: name the device, no wildcard.',
      'user app',
      'topic write hr/my-device/bpm',
    ],
    settings: {
      MQTT_BROKER: 'external',
      ...(formerly.length === 0
        ? {}
        : { FORWARDER_GATEWAYS: [...new Set([...config.FORWARDER_GATEWAYS, ...formerly])].join(',') }),
      MQTT_URL: `mqtt://${box}:${password}@BROKER:1883`,
    },
  };
}

const textOf = ({ password_file: passwords, acl_file: acl, settings }: MosquittoRights): string =>
  [
    '# --- password_file: add this line',
    passwords,
    '',
    '# --- acl_file: add these lines',
    ...acl,
    '',
    '# --- environment of this box',
    ...Object.entries(settings).map(([name, value]) => `# ${name}=${value}`),
  ].join('\n');

export const addAcl: AddCommand = (program) => {
  const acl = program
    .command('acl')
    .summary('print the rights this box needs on another broker')
    .description('Prints the user and the rights that the services of this box need on a broker that is not its own gateway.');
  acl
    .command('mosquitto')
    .summary("print lines for Mosquitto's password_file and acl_file")
    .description(
      "Prints lines for Mosquitto's password_file and acl_file, and the settings of this box, with a new password at each call. " +
        'Keep use_username_as_clientid off: the services of a box share one user.',
    )
    .option(
      '--formerly <gateway>',
      'an earlier GATEWAY_NAME of this box, under which it still holds readings (repeatable)',
      collect,
    )
    .option('--json', 'print them as JSON')
    .action(async (_options: unknown, command: Command) => {
      const formerly = listOf(command, 'formerly');
      if (!formerly.every((name) => GATEWAY_PATTERN.test(name)))
        command.error('--formerly: the name of a box is 1-64 of a-z, 0-9 and -', { exitCode: EXIT_CODES.usage });
      const rights = await mosquittoRights(formerly);
      console.log(flagOf(command, 'json') ? JSON.stringify(rights, undefined, 2) : textOf(rights));
    });
};
