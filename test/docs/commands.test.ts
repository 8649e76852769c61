/**
 * Every command in README, SECURITY and docs is executed by a test. Here: those about a box, beside one that runs; scripts name what else
 * they execute (containers, the Debian package, the installer); what no test can execute has a reason.
 */
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { filesBelow, readSource } from '../support/source-tree.ts';
import { getJson } from '../system/pipeline/support/one-process.ts';
import { startFirstHour, type Typed } from '../system/first-hour/support/first-hour.ts';

const PASSWORD = 'correct horse battery';
const USERS = { input: PASSWORD };

/** Executed here, in this order; `instead` as the box of this test has it. The runs of a box that runs are not closed (code 2). */
const HERE: readonly (readonly [string, Typed])[] = [
  ["curl '127.0.0.1:8080/health?format=text'", {}],
  ['curl 127.0.0.1:8080/queue', {}],
  ['npm run users -- list', {}],
  ["npm run users -- add anna --subscribe 'hr/+/bpm'", USERS],
  ['npm run users -- add my-app --publish hr/Bike1/bpm', USERS],
  ['npm run users -- add ops --operator', USERS],
  ['npm run users -- add --bridge gym-2', {}],
  ['npm run users -- remove gym-2', {}],
  ['npm run users -- add --bridge gym-3 --formerly gym-2', {}],
  [
    "npm run users -- add home-assistant --subscribe 'homeassistant/#' --subscribe 'hr/#' " +
      "--subscribe 'edge/+/+/status' --publish homeassistant/status",
    USERS,
  ],
  [
    "npm run users -- add paho --subscribe 'TopicA/#' --subscribe 'TopicB/#' --subscribe 'TopicC/#' " +
      "--publish 'TopicA/#' --publish 'TopicB/#' --publish 'TopicC/#'",
    USERS,
  ],
  ['npm run token', {}],
  ['hr-gateway token --rotate', {}],
  ['npm run config', {}],
  ['npm run doctor -- --json', {}],
  ['npm run doctor', {}],
  ['hr-gateway doctor', {}],
  ['npm run backup', {}],
  ['npm run restore -- --list', {}],
  ['npm run restore -- FILE', { instead: { FILE: 'missing.db' }, code: 1 }],
  ['npm run restore', { code: 2 }],
  ['npm run acl mosquitto -- --formerly OLD-NAME', { instead: { 'OLD-NAME': 'old-name' } }],
  ['npm run acl mosquitto', {}],
  ['npm run verify', {}],
  ['hr-gateway verify hr-data-stream', {}],
  [
    'hr-gateway verify --json --require-closed --settle-minutes 20 /data/from-s3',
    { instead: { '/data/from-s3': 'from-s3' }, code: 2 },
  ],
  ['hr-gateway verify /data/from-s3', { instead: { '/data/from-s3': 'from-s3' } }],
  ['npm run tail -- --from oldest --json', { instead: { '--json': '--json --count 2' } }],
  ['npm run tail -- --fan-out <ARN>', { instead: { '<ARN>': 'no-arn' }, code: 1 }],
  ['npm run tail', { instead: { tail: 'tail -- --count 1' } }],
  ['hr-gateway tail --json', { instead: { '--json': '--json --count 1' } }],
  ['hr-gateway tail', { instead: { tail: 'tail --count 1' } }],
  ['hr-gateway export polar-h10-a1b2c3', { instead: { 'polar-h10-a1b2c3': 'DEVICE' } }],
  ['hr-gateway replay --dry-run ride.fit', {}],
  ['hr-gateway --help', {}],
  ['hr-gateway completion bash', {}],
  [
    'curl -X POST -H "Authorization: Bearer $(npm run --silent token)" -H \'content-type: application/json\' ' +
      '-d \'{"all":true}\' 127.0.0.1:8080/dead-letters/retry',
    {},
  ],
];

/** Executed elsewhere: by a script that contains it, or by a test, named by its path. */
const ELSEWHERE: readonly (readonly [command: RegExp, where: string, executes: string])[] = [
  [/^docker compose exec gateway hr-gateway users/, 'test/containers/compose.sh', 'exec -T gateway hr-gateway users'],
  [/^docker compose exec admin-api hr-gateway token/, 'test/containers/compose.sh', 'exec -T admin-api hr-gateway token'],
  [/^docker compose exec forwarder hr-gateway backup/, 'test/containers/compose.sh', 'exec -T forwarder hr-gateway backup'],
  [
    /^docker compose run --rm --no-deps forwarder hr-gateway restore/,
    'test/containers/compose.sh',
    'forwarder hr-gateway restore',
  ],
  [
    /^docker compose run --rm --no-deps (ble-bridge|forwarder) hr-gateway doctor/,
    'test/containers/compose.sh',
    'hr-gateway doctor',
  ],
  [/^docker compose (exec|stop|up|build|down|logs)/, 'test/containers/compose.sh', 'docker compose up -d'],
  [/^docker buildx bake/, 'docs/fleet.md', 'It was not run'],
  [
    /^sudo packaging\/systemd\/install\.sh|^packaging\/systemd\/install\.sh/,
    'test/system/systemd.sh',
    'packaging/systemd/install.sh',
  ],
  [/^packaging\/deb\/build\.sh/, 'test/system/deb.sh', 'packaging/deb/build.sh'],
  [/^sudo hr-gateway/, 'test/system/deb.sh', 'hr-gateway doctor'],
  [/^(hr-gateway|npm run) (replay|export)/, 'test/cli/replay.test.ts', 'replay'],
  [/^(hr-gateway|npm run) drill/, 'test/cli/bin.test.ts', "'drill'"],
  [
    /^(npm run|hr-gateway) (users|verify|acl|start|config|doctor|tail|backup|export|token|restore)( <|…| …|$)/,
    'test/docs/commands.test.ts',
    'HERE',
  ],
  [/^npm run (export|replay|completion)$/, 'test/cli/bin.test.ts', "'completion'"],
  [/^(npm run|hr-gateway) <command>/, 'test/cli/help.test.ts', "'--help'"],
  [/^node dist\/[a-z-]+\/main\.js/, 'docker-compose.yml', 'dist/ble-bridge/main.js'],
  [/^node cli\/bin\.mjs users list/, 'test/cli/running-box.test.ts', "'users', 'list'"],
  [/^npm (ci|start|test)|^npm run (build|check|docs|format|test:long|build:consumer|bench:[a-z]+)/, '.ci/run', 'npm'],
  [/^npm run .*bench/, '.ci/run', 'bench'],
  [/^mosquitto_(sub|pub)/, 'test/containers/compose.sh', 'mosquitto_sub'],
];

/** What a test cannot execute, and why. */
const NOT_EXECUTED: readonly (readonly [RegExp, string])[] = [
  [/^(aws|sam) /, 'needs an AWS account'],
  [
    /^(sudo )?(iptables|timedatectl|rfkill|modprobe|systemctl|journalctl|bluetoothctl|hciconfig|apt|nft) ?/,
    'changes or asks the machine',
  ],
  [/^npm install --no-save @stoprocent\/noble/, 'replaces a package of this checkout'],
  [/^NOBLE_FORK=|^node --import tsx test\/run\.ts/, 'runs tests itself'],
  [/^curl 127\.0\.0\.1:8080\/queue\/runs\//, 'the run of the example; test/admin-api/runs.test.ts asks for others'],
  [/^docker run --privileged/, 'changes the machine'],
];

const PROGRAM = new RegExp(
  '^((npm|hr-gateway|docker|curl|sudo|aws|systemctl|iptables|apt|journalctl|node|timedatectl|rfkill) |mosquitto_|packaging/|NOBLE_FORK=)',
);

/** The commands of a document: lines of code blocks, and code spans, without comments. */
function commandsIn(document: string): string[] {
  const text = readSource(document);
  const blocks = [...text.matchAll(/^ {4}(?:\$ )?(\S.*)$/gm)].map(([, line = '']) => line);
  const spans = [...text.replaceAll(/^ {4}.*$/gm, '').matchAll(/`([^`\n]+)`/g)].map(([, span = '']) => span);
  return [...blocks, ...spans]
    .flatMap((line) => line.split(' && '))
    .map((line) => line.replace(/\s{2,}# .*$/, '').trim())
    .filter((line) => PROGRAM.test(line));
}

const documents = filesBelow('.').filter((file) => /^(README|SECURITY)\.md$|^docs\/.*\.md$/.test(file));

test('every command of the documents is executed by a test, or has a reason why it is not', () => {
  const unknown = new Set<string>();
  let count = 0;
  for (const document of documents)
    for (const command of commandsIn(document)) {
      count += 1;
      const isHere = HERE.some(([known]) => known === command);
      const isElsewhere = ELSEWHERE.some(([pattern]) => pattern.test(command));
      if (!isHere && !isElsewhere && !NOT_EXECUTED.some(([pattern]) => pattern.test(command)))
        unknown.add(`${document}: ${command}`);
    }
  assert.deepEqual([...unknown], []);
  assert.ok(count >= 80, `only ${count} commands found`);
  for (const [, where, executes] of ELSEWHERE)
    assert.ok(readSource(where).includes(executes), `${where} does not execute ${executes}`);
});

test('the commands about a box work beside one that runs on other ports', async (t) => {
  const { admin, folder, type, typeUntil } = await startFirstHour(t, { GATEWAY_NAME: 'front-desk' });
  await typeUntil("curl '127.0.0.1:8080/health?format=text'", /^ok$/m);
  await typeUntil('npm run verify', /^OK: [1-9]/m);
  copyFileSync(path.join(import.meta.dirname, '../data/cases/fit/chained.fit'), path.join(folder, 'ride.fit'));
  mkdirSync(path.join(folder, 'from-s3'));
  await type('hr-gateway tail --json', { instead: { '--json': '--from oldest --json --count 1 > from-s3/part' } });
  const [device = ''] = (await getJson<{ device: string }[]>(`${admin}/devices`)).map((each) => each.device);
  for (const [command, typed] of HERE) {
    const instead = Object.fromEntries(
      Object.entries(typed.instead ?? {}).map(([name, value]) => [name, value === 'DEVICE' ? device : value]),
    );
    await type(command, { ...typed, instead });
  }
});
