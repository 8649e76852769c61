import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { LoginThrottle } from '../../gateway/login-throttle.ts';
import { covers, filterFault } from '../../gateway/rights.ts';
import { HrError } from '../../service/errors/errors.ts';
import { eventually } from '../support/eventually.ts';
import { productArgs } from '../support/product-process.ts';
import { tempDir } from '../support/temp-dir.ts';
import { startGateway } from './support/gateway.ts';
import { connected, rawClient } from './support/raw-client.ts';

const PASSWORD = 'correct horse battery';
const as = (username: string, password = PASSWORD): { username: string; password: Buffer } => ({
  username,
  password: Buffer.from(password),
});

/** `hr-gateway users` as a process, with the password on standard input. */
async function users(
  dataDir: string,
  args: string[],
  password = '',
  environment: Record<string, string> = {},
): Promise<{ code: number; out: string; err: string }> {
  const child = spawn(process.execPath, [...productArgs('cli/main'), 'users', ...args], {
    env: { PATH: process.env['PATH'], DATA_DIR: dataDir, ...environment },
  });
  let out = '';
  let err = '';
  child.stdout.on('data', (chunk) => (out += String(chunk)));
  child.stderr.on('data', (chunk) => (err += String(chunk)));
  child.stdin.on('error', () => {});
  child.stdin.end(`${password}\n`);
  return await new Promise((resolve) => child.once('close', (code) => resolve({ code: code ?? -1, out, err })));
}

test('users that the command adds, changes or removes are accepted, restricted or disconnected without a restart', async (t) => {
  const gateway = await startGateway(t);
  const folder = gateway.config.DATA_DIR;
  const added = await users(folder, ['add', 'anna', '--subscribe', 'hr/+/bpm'], PASSWORD);
  assert.equal(added.code, 0, added.err);
  await eventually(async () => (await (await rawClient(t, gateway.ports.mqtt)).connect(as('anna'))) === 0);
  const anna = await connected(t, gateway.ports.mqtt, as('anna'));
  assert.equal(await anna.subscribe('hr/x/bpm'), 0);
  assert.equal(await anna.subscribe('hr/x/status'), 128);
  assert.equal((await users(folder, ['add', 'ben', '--publish', 'hr/ben/bpm'], PASSWORD)).code, 0);
  const ben = await eventually(async () => await connected(t, gateway.ports.mqtt, as('ben')));
  assert.equal(await ben.publishAcknowledged('hr/ben/bpm', 'x'), true);
  await anna.settled();
  assert.equal((await users(folder, ['add', 'anna', '--subscribe', 'hr/+/status'], 'another password')).code, 0);
  await anna.ended();
  assert.equal(await (await rawClient(t, gateway.ports.mqtt)).connect(as('anna')), 5);
  const again = await connected(t, gateway.ports.mqtt, as('anna', 'another password'));
  assert.equal(await again.subscribe('hr/x/bpm'), 128);
  assert.equal((await users(folder, ['remove', 'ben'])).code, 0);
  await ben.ended();
  await again.settled();
  assert.match((await users(folder, ['list'])).out, /^anna {2}subscribe: hr\/\+\/status {2}publish: nothing$/m);

  const file = path.join(folder, 'users.json');
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.doesNotMatch(readFileSync(file, 'utf8'), /another password/);
  // An unreadable file changes nothing, and is logged as an error that a person must fix.
  writeFileSync(file, '{"anna": 1}');
  await eventually(() => gateway.lines.some((line) => line['event'] === 'users_unreadable' && line['level'] === 50));
  await again.settled();
  assert.equal(await (await rawClient(t, gateway.ports.mqtt)).connect(as('anna', 'another password')), 0);
});

test('a right that would reach edge/ or $SYS is refused, by the command and in the file', async (t) => {
  const folder = tempDir(t);
  for (const [kind, filter] of [
    ['subscribe', '#'],
    ['subscribe', '+/+/bpm'],
    ['subscribe', 'edge/#'],
    ['subscribe', '$SYS/#'],
    ['publish', 'edge/sync'],
    ['publish', 'edge/x/status'],
    ['publish', '#'],
    ['subscribe', 'hr/#/x'],
    ['subscribe', 'hr/a+'],
  ] as const)
    assert.notEqual(filterFault(kind, filter), undefined, `${kind} ${filter}`);
  const faulty = [
    [['add', 'anna', '--subscribe', 'hr/a', '--subscribe', 'edge/#'], PASSWORD, 2, 'edge/#'],
    [['add', 'anna', '--publish', 'edge/sync'], PASSWORD, 2, 'edge/sync'],
    [['add', 'forwarder', '--subscribe', 'hr/#'], PASSWORD, 2, 'the name of a service'],
    [['add', 'an na', '--subscribe', 'hr/#'], PASSWORD, 2, 'a user name is'],
    [['add', 'anna', '--subscribe', 'hr/#'], 'short', 1, 'fewer than'],
    [['remove', 'nobody'], '', 1, 'no box uses'],
    [['add', 'anna', '--subscribe', 'hr/#'], PASSWORD, 1, 'no box uses'],
    [['list'], '', 1, 'no box uses'],
    [['add'], '', 2, 'name'],
  ] as const;
  await Promise.all(
    faulty.map(async ([args, password, expected, words]) => {
      const { code, err } = await users(folder, [...args], password);
      assert.equal(code, expected, args.join(' '));
      assert.ok(err.includes(words), `${args.join(' ')}: ${err}`);
    }),
  );
  assert.deepEqual(readdirSync(folder), [], 'nothing is written into a folder that no box uses');
  writeFileSync(
    path.join(folder, 'users.json'),
    JSON.stringify({ anna: { salt: 'x', hash: 'x', publish: [], subscribe: ['#'] } }),
  );
  await assert.rejects(
    startGateway(t, { DATA_DIR: folder }),
    (error) => error instanceof HrError && error.code === 'users_unreadable' && /first level/.test(error.detail),
  );
});

test("an operator's account receives everything but empty packets of adoption, and publishes only what it was granted", async (t) => {
  const gateway = await startGateway(t, {}, { app: { password: PASSWORD, publish: ['hr/Bike1/bpm'] } });
  const folder = gateway.config.DATA_DIR;
  const { code, out, err } = await users(folder, ['add', 'ops', '--operator', '--publish', 'hr/test/bpm'], PASSWORD);
  assert.equal(code, 0, err);
  assert.match(out, /^ops may subscribe to everything and publish hr\/test\/bpm;/);
  const listed = await users(folder, ['list']);
  assert.match(listed.out, /^ops {2}subscribe: everything {2}publish: hr\/test\/bpm$/m);
  const { ops: listedOps } = JSON.parse((await users(folder, ['list', '--json'])).out) as Record<string, unknown>;
  assert.deepEqual(listedOps, { publish: ['hr/test/bpm'], subscribe: [], operator: true });

  const ops = await eventually(async () => await connected(t, gateway.ports.mqtt, as('ops')));
  for (const filter of ['#', '$SYS/#', 'edge/#', '+/+/+/+']) assert.equal(await ops.subscribe(filter), 0, filter);
  const bridge = await connected(t, gateway.ports.mqtt, as('ble-bridge', gateway.keyOf('ble-bridge')));
  const services = ['hr/polar/bpm', 'edge/test-box/person/polar', 'edge/test-box/readings/0123456789abcdef'];
  for (const topic of services) assert.equal(await bridge.publishAcknowledged(topic, 'x'), true);
  const app = await connected(t, gateway.ports.mqtt, as('app'));
  assert.equal(await app.publishAcknowledged('hr/Bike1/bpm', '72'), true);
  await ops.settled();
  const received = ops.messages().map(({ topic }) => topic);
  for (const topic of [...services, 'hr/Bike1/bpm']) assert.ok(received.includes(topic), `${topic} in ${received.join(' ')}`);
  assert.ok(!received.includes('$SYS/adopted'), received.join(' '));

  assert.equal(await ops.publishAcknowledged('edge/test-box/stored/0123456789abcdef', 'x'), false);
  // Without the role it is a user like others.
  assert.equal((await users(folder, ['add', 'ops', '--subscribe', 'hr/#'], PASSWORD)).code, 0);
  const again = await eventually(async () => await connected(t, gateway.ports.mqtt, as('ops')));
  assert.equal(await again.subscribe('#'), 128);
});

test('a key for the bridge of another box is printed once, with the settings of that box, and is not stored', async (t) => {
  const gateway = await startGateway(t);
  const folder = gateway.config.DATA_DIR;
  const { code, out } = await users(folder, ['add', '--bridge', 'gym-2']);
  assert.equal(code, 0);
  const key = /^MQTT_URL=mqtts:\/\/gym-2:([\w-]{43})@/m.exec(out)?.[1] ?? '';
  assert.match(out, /^GATEWAY_NAME=gym-2$/m);
  assert.ok(key !== '' && !readFileSync(path.join(folder, 'users.json'), 'utf8').includes(key));
  assert.equal(await (await rawClient(t, gateway.ports.mqtt)).connect({ username: 'gym-2', password: Buffer.from(key) }), 0);
  // What the command line alone shows to be wrong ends with 2; what the gateway of this box refuses, with 1.
  const faulty = [
    [2, ['--bridge', 'Gym 2']],
    [2, ['--bridge', 'forwarder']],
    [2, ['anna', '--bridge', 'gym-2']],
    [1, ['--bridge', 'test-box']],
    [1, ['--bridge', 'gym-3', '--formerly', 'gym-2']],
    [1, ['--bridge', 'gym-3', '--formerly', 'test-box']],
    [2, ['anna', '--formerly', 'gym-2']],
  ] as const;
  await Promise.all(
    faulty.map(async ([expected, args]) => {
      const { code, err } = await users(folder, ['add', ...args], PASSWORD);
      assert.equal(code, expected, `${args.join(' ')}: ${err}`);
    }),
  );
});

test('a filter covers exactly what it matches', () => {
  for (const [granted, asked] of [
    ['hr/#', 'hr'],
    ['hr/#', 'hr/#'],
    ['hr/#', 'hr/+/bpm'],
    ['hr/+/bpm', 'hr/+/bpm'],
    ['hr/+/bpm', 'hr/a/bpm'],
    ['edge/+/+/status', 'edge/box/gateway/status'],
  ] as const)
    assert.ok(covers(granted, asked), `${granted} ${asked}`);
  for (const [granted, asked] of [
    ['hr/#', '#'],
    ['hr/#', '+/a'],
    ['hr/+/bpm', 'hr/#'],
    ['hr/+', 'hr/a/b'],
    ['hr/a', 'hr/+'],
    ['#', '$SYS/x'],
    ['+/x', '$SYS/x'],
    ['hr/+/bpm', 'hr/bpm'],
  ] as const)
    assert.ok(!covers(granted, asked), `${granted} ${asked}`);
  assert.equal(filterFault('subscribe', 'edge/+/+/status'), undefined);
  assert.equal(filterFault('subscribe', 'edge/box/gateway/status'), undefined);
  assert.equal(filterFault('publish', 'hr/anna/bpm'), undefined);
});

test('failed logins of a user get growing delays; other users of the address and service keys are accepted meanwhile', async (t) => {
  const gateway = await startGateway(
    t,
    {},
    { anna: { password: PASSWORD, subscribe: ['hr/#'] }, ben: { password: PASSWORD, subscribe: ['hr/#'] } },
  );
  await connected(t, gateway.ports.mqtt, as('anna'));
  const guesses = Array.from({ length: 8 }, async (_, i) => {
    const client = await rawClient(t, gateway.ports.mqtt);
    return await client.connect(as('anna', `guess ${i}`));
  });
  await eventually(() => (gateway.service.breaches['login'] ?? 0) >= 6);
  // Anna's logins from this address have to wait now, not those of ben, whose password was not verified before.
  const beganAt = performance.now();
  await connected(t, gateway.ports.mqtt, as('ben'));
  assert.ok(performance.now() - beganAt < 2000, `accepted after ${performance.now() - beganAt} ms`);
  await connected(t, gateway.ports.mqtt, as('anna'));
  await connected(t, gateway.ports.mqtt, { username: 'forwarder', password: Buffer.from(gateway.keyOf('forwarder')) });
  assert.deepEqual(new Set(await Promise.all(guesses)), new Set([5]));
});

test('twenty connections of one user that come at once are accepted: their password is checked once', async (t) => {
  const gateway = await startGateway(t, {}, { anna: { password: PASSWORD, subscribe: ['hr/#'] } });
  await Promise.all(Array.from({ length: 20 }, async () => await connected(t, gateway.ports.mqtt, as('anna'))));
});

test('a right password is accepted within 2 s beside a flood of wrong ones for its own user and for others', async (t) => {
  const gateway = await startGateway(
    t,
    {},
    { anna: { password: PASSWORD }, ben: { password: PASSWORD }, cleo: { password: PASSWORD } },
  );
  await connected(t, gateway.ports.mqtt, as('anna'));
  let guesses = 0;
  let isOver = false;
  const guessing = new Set<{ destroy(): void }>();
  const flood = Array.from({ length: 40 }, async (_, index) => {
    while (!isOver) {
      guesses += 1;
      const client = await rawClient(t, gateway.ports.mqtt);
      guessing.add(client);
      await client.connect({
        username: ['anna', 'ben', `nobody-${index}`][index % 3] ?? '',
        password: Buffer.from(`guess ${guesses}`),
      });
      client.destroy();
      guessing.delete(client);
    }
  });
  await eventually(() => (gateway.service.breaches['login'] ?? 0) > 100);
  for (const name of ['anna', 'cleo', 'cleo', 'anna'] as const) {
    const beganAt = performance.now();
    await connected(t, gateway.ports.mqtt, as(name));
    assert.ok(performance.now() - beganAt < 2000, `${name} after ${performance.now() - beganAt} ms and ${guesses} guesses`);
  }
  assert.match(gateway.service.checks.find(({ name }) => name === 'client budgets')?.reason ?? '', /^address 127\.0\.0\.1 /);
  isOver = true;
  for (const client of guessing) client.destroy();
  await Promise.all(flood);
});

test('delays double per address up to a bound; a success resets them; addresses do not slow each other', async () => {
  let nowMs = 0;
  const throttle = new LoginThrottle(() => nowMs);
  const delays = Array.from({ length: 14 }, () => {
    const delayMs = throttle.failed('a');
    nowMs += delayMs;
    return delayMs;
  });
  assert.deepEqual(delays, [0, 0, 0, 0, 0, 250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000, 10_000]);
  throttle.failed('a');
  let looked = 0;
  const look = async (): Promise<string> => {
    looked += 1;
    return 'seen';
  };
  assert.equal(await throttle.inTurn('a', look), undefined);
  assert.equal(await throttle.inTurn('b', look), 'seen');
  assert.equal(throttle.failed('b'), 0);
  nowMs += 10_001;
  assert.equal(await throttle.inTurn('a', look), 'seen');
  throttle.succeeded('a');
  assert.equal(throttle.failed('a'), 0);
  // One address, one check at a time.
  let running = 0;
  let most = 0;
  await Promise.all(
    Array.from(
      { length: 20 },
      async () =>
        await throttle.inTurn('c', async () => {
          running += 1;
          most = Math.max(most, running);
          await new Promise((resolve) => setImmediate(resolve));
          running -= 1;
        }),
    ),
  );
  assert.equal(most, 1);
  assert.equal(looked, 2);
});

test('a listener beyond loopback fails the start with the reason, unless there are users or MQTT_ANONYMOUS is set', async (t) => {
  const refused = (error: unknown): boolean =>
    error instanceof HrError &&
    error.code === 'listener_unprotected' &&
    /MQTT_LISTEN_HOST is 0\.0\.0\.0, there are no users, and MQTT_ANONYMOUS is not set/.test(error.detail);
  await assert.rejects(startGateway(t, { MQTT_LISTEN_HOST: '0.0.0.0' }), refused);
  const read = await startGateway(t, { MQTT_LISTEN_HOST: '0.0.0.0', MQTT_ANONYMOUS: 'read' });
  assert.equal(await (await rawClient(t, read.ports.mqtt)).connect(), 0);
  const none = await startGateway(t, { MQTT_LISTEN_HOST: '0.0.0.0', MQTT_ANONYMOUS: 'none' });
  assert.equal(await (await rawClient(t, none.ports.mqtt)).connect(), 5);
  const loopbackNone = await startGateway(t, { MQTT_ANONYMOUS: 'none' });
  assert.equal(await (await rawClient(t, loopbackNone.ports.mqtt)).connect(), 5);
  await startGateway(t, { MQTT_LISTEN_HOST: '0.0.0.0' }, { anna: { password: PASSWORD } });
});
