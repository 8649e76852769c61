/** What strangers do to the admin API on the address that the operator has, too. */
import assert from 'node:assert/strict';
import { Agent, get, IncomingMessage, request } from 'node:http';
import { Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { HttpClients } from '../../admin-api/http-clients.ts';
import { eventually } from '../support/eventually.ts';
import { testConfig, testLog } from '../support/test-config.ts';
import { cookieOf, slowestOf, startApi } from './support/api.ts';
import { attack, openOf, type Attacker } from './support/attacks.ts';

const HEAD = 'GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n';

/** The status of an event stream, which stays open until the test ends. */
async function openEvents(t: TestContext, port: number, headers: Record<string, string> = {}): Promise<number> {
  return await new Promise((resolve, reject) => {
    const asked = get({ port, host: '127.0.0.1', path: '/events', agent: false, headers }, (answer) => {
      answer.on('error', () => {});
      answer.resume();
      resolve(answer.statusCode ?? 0);
    });
    asked.on('error', reject);
    t.after(() => asked.destroy());
  });
}

test('2,000 connections from the same address leave few open, and close none of the operator', async (t) => {
  const { port, ask, token } = await startApi(t);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());
  const sockets = new Set<unknown>();
  const asOperator = async (): Promise<number> =>
    await new Promise((resolve, reject) => {
      const asked = request(
        { port, host: '127.0.0.1', path: '/session', agent, headers: { authorization: `Bearer ${token}` } },
        (answer) => {
          answer.resume();
          answer.on('end', () => resolve(answer.statusCode ?? 0));
        },
      );
      asked.on('socket', (socket) => sockets.add(socket));
      asked.on('error', reject);
      asked.end();
    });
  assert.equal(await asOperator(), 200);
  const attackers: Attacker[] = [];
  for (let i = 0; i < 2000; i += 1) attackers.push(attack(t, port, i % 2 === 0 ? '' : HEAD));
  assert.equal(await asOperator(), 200);
  await eventually(() => openOf(attackers) <= 330, { what: 'the surplus to be closed' });
  assert.ok((await slowestOf(ask, token, 20)) < 2000, 'the operator waited');
  assert.equal(await asOperator(), 200);
  assert.equal(sockets.size, 1, "the operator's connection was closed");
  assert.ok(openOf(attackers) > 0, 'no attacker is connected any more');
});

test('connections that keep the server busy do not keep new ones from sending their request', async (t) => {
  const { port, ask, token } = await startApi(t);
  const body = 'POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{';
  const attackers = Array.from({ length: 600 }, () => attack(t, port, body));
  const reconnecting = setInterval(() => attackers.push(attack(t, port, body)), 5);
  t.after(() => clearInterval(reconnecting));
  await eventually(() => openOf(attackers) <= 330, { what: 'the surplus to be closed' });
  assert.ok((await slowestOf(ask, token, 20)) < 2000, 'the operator waited');
});

test('the check names the client that is refused most, and passes again a minute after it stopped', () => {
  let nowMs = 0;
  const clients = new HttpClients(testLog(testConfig({})), () => nowMs);
  const from = (remoteAddress: string): IncomingMessage =>
    Object.assign(new IncomingMessage(new Socket()), { socket: { remoteAddress } });
  const refusals = (address: string, times: number): number => {
    let refused = 0;
    for (let i = 0; i < times; i += 1)
      try {
        clients.admit(from(address), 'api');
      } catch {
        refused += 1;
      }
    return refused;
  };
  assert.equal(refusals('192.0.2.1', 3000), 0);
  assert.equal(clients.check().status, 'ok');
  assert.equal(refusals('192.0.2.1', 20), 20);
  // The addresses of a /64 are one client, IPv4 in IPv6 form is IPv4.
  assert.equal(refusals('2001:db8::1', 2000), 0);
  assert.equal(refusals('2001:db8::2', 2000), 1000);
  assert.equal(refusals('2001:db8:0:1::2', 2000), 0);
  assert.equal(refusals('::ffff:192.0.2.1', 1), 1);
  const { status, code, reason } = clients.check();
  assert.deepEqual([status, code], ['warn', 'http_client_over_limit']);
  assert.match(reason, /^2001:db8:0:0::\/64: .* 1000 requests/);
  nowMs = 61_000;
  assert.equal(clients.check().status, 'ok');
  assert.equal(refusals('192.0.2.1', 3000), 0);
});

test('event streams of strangers leave places for the operator, by token and by session', async (t) => {
  const { port, ask, token } = await startApi(t);
  const cookie = cookieOf(await ask('POST', '/login', { body: JSON.stringify({ token }) })) ?? '';
  const statuses = await Promise.all(Array.from({ length: 240 }, async () => await openEvents(t, port)));
  assert.equal(statuses.filter((status) => status === 200).length, 200);
  assert.equal(statuses.filter((status) => status === 503).length, 40);
  assert.equal(await openEvents(t, port), 503);
  for (let i = 0; i < 10; i += 1) {
    assert.equal(await openEvents(t, port, { authorization: `Bearer ${token}` }), 200);
    assert.equal(await openEvents(t, port, { cookie: `hr_gateway_session=${cookie}` }), 200);
  }
  assert.equal(await openEvents(t, port, { authorization: 'Bearer wrong' }), 503);
});

test('a flood of requests and of wrong tokens is refused with 429, and the operator logs in and works all the while', async (t) => {
  const { ask, token } = await startApi(t);
  const statuses: number[] = [];
  let flooding = true;
  const flood = async (send: () => Promise<{ status: number }>): Promise<void> => {
    while (flooding) statuses.push((await send()).status);
  };
  const floods = [
    ...Array.from({ length: 4 }, () => flood(async () => await ask('POST', '/login', { body: '{"token":"guess"}' }))),
    ...Array.from({ length: 2 }, () => flood(async () => await ask('GET', '/health', { token: 'guess' }))),
    ...Array.from({ length: 2 }, () => flood(async () => await ask('GET', '/openapi.json'))),
  ];
  await eventually(() => statuses.includes(429), { withinMs: 20_000, what: 'the flood to be refused' });
  const login = await ask('POST', '/login', { body: JSON.stringify({ token }) });
  assert.equal(login.status, 200);
  assert.ok((await slowestOf(ask, token, 20)) < 2000, 'the operator waited');
  assert.equal((await ask('POST', '/scan', { cookie: cookieOf(login) ?? '' })).status, 503);
  // The page can still be loaded, and probes see that the process is alive.
  assert.equal((await ask('GET', '/')).status, 200);
  assert.equal((await ask('GET', '/health/live')).status, 200);
  const health = await ask('GET', '/health', { token });
  flooding = false;
  await Promise.all(floods);
  assert.ok(
    // Down: there is no broker.
    statuses.every((status) => [200, 401, 429, 503].includes(status)),
    `answers: ${[...new Set(statuses)].join(', ')}`,
  );
  assert.ok([200, 503].includes(health.status), health.text);
  assert.match(health.text, /"name":"HTTP clients","status":"warn"[^}]*"reason":"127\.0\.0\.1: /, 'health names the client');
});

test('garbage, huge headers and endless lines are answered or closed, and use no memory that stays', async (t) => {
  const { port, ask, token } = await startApi(t);
  const garbage = [
    '\0'.repeat(1000),
    `GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nx: ${'a'.repeat(200_000)}\r\n\r\n`,
    `GET /${'a'.repeat(200_000)} HTTP/1.1\r\n\r\n`,
    `GET / HTTP/1.1\r\n${'x: y\r\n'.repeat(20_000)}\r\n`,
    '\u0016\u0003\u0001\u0002\0\u0001\0\u0001\u00fc\u0003\u0003',
    'POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nzz\r\n',
    'POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n',
    'CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n',
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  ];
  const attackers = Array.from({ length: 20 }, () => garbage.map((text) => attack(t, port, text))).flat();
  await eventually(() => attackers.every((each) => each.closedAfterMs() !== undefined || each.received() !== ''), {
    withinMs: 20_000,
    what: 'all of them to be answered or closed',
  });
  for (const { received } of attackers) if (received() !== '') assert.match(received(), /^HTTP\/1\.1 4\d\d /);
  assert.ok((await slowestOf(ask, token, 5)) < 2000, 'an answer took long');
});
