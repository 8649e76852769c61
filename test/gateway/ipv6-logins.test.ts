/**
 * Failed logins over IPv6: all addresses of a /64 network are one client. Loopback has `::1` only, so the test runs in a network namespace
 * of its own, where it gives loopback three addresses.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { cannotRun } from '../support/cannot-run.ts';
import { eventually } from '../support/eventually.ts';
import { startGateway } from './support/gateway.ts';
import { RawClient, type ConnectFields } from './support/raw-client.ts';

const INSIDE = 'HR_GATEWAY_TEST_NAMESPACE';
const GUESSER = 'fd00:17:0:1::a';
const NEIGHBOUR = 'fd00:17:0:1::b';
const OTHER = 'fd00:17:0:2::a';
const MAKE_ADDRESSES = [
  'ip link set lo up',
  ...[GUESSER, NEIGHBOUR, OTHER].map((address) => `ip -6 addr add ${address}/128 dev lo`),
];
/** The last one is answered after 2 s. */
const WRONG = 9;

const login = (password: string): ConnectFields => ({ username: 'app', password: Buffer.from(password) });

async function clientAt(t: TestContext, localAddress: string, port: number): Promise<RawClient> {
  const socket = connect({ host: GUESSER, port, localAddress });
  t.after(() => socket.destroy());
  const client = new RawClient(socket);
  await once(socket, 'connect');
  return client;
}

if (process.env[INSIDE] === 'true')
  test('wrong passwords from one address delay logins of its user from the same /64 network, and from no other one', async (t) => {
    const gateway = await startGateway(t, { MQTT_LISTEN_HOST: '::' }, { app: { password: 'right' } });
    const { mqtt } = gateway.ports;
    const failures = (): number => gateway.service.breaches['login'] ?? 0;
    for (let count = 1; count < WRONG; count += 1)
      assert.equal(await (await clientAt(t, GUESSER, mqtt)).connect(login('wrong')), 5);
    const last = (await clientAt(t, GUESSER, mqtt)).connect(login('wrong'));
    await eventually(() => failures() === WRONG, { what: 'the last wrong password is checked' });
    const refused = (await clientAt(t, NEIGHBOUR, mqtt)).connect(login('right'));
    await eventually(() => failures() === WRONG + 1, { what: 'the neighbour is refused' });
    assert.equal(await (await clientAt(t, OTHER, mqtt)).connect(login('right')), 0, 'another network is not delayed');
    assert.equal(await refused, 5, 'the same network is');
    assert.equal(await last, 5);
  });
else
  test('failed logins are throttled by /64 network', (t) => {
    const made = spawnSync('unshare', ['--net', 'sh', '-c', MAKE_ADDRESSES.join(' && ')], { encoding: 'utf8' });
    if (made.status !== 0) return cannotRun(t, 'a network namespace with IPv6 cannot be made here (needs root, unshare and ip)');
    const { NODE_TEST_CONTEXT: _, ...environment } = process.env;
    const file = fileURLToPath(import.meta.url);
    const run = spawnSync(
      'unshare',
      ['--net', 'sh', '-c', [...MAKE_ADDRESSES, 'exec "$0" --import tsx --test "$1"'].join(' && '), process.execPath, file],
      { encoding: 'utf8', env: { ...environment, [INSIDE]: 'true' } },
    );
    assert.equal(run.status, 0, run.stdout + run.stderr);
    assert.match(run.stdout, /# pass 1/);
  });
