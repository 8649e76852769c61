import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isLoopback, isOwnHost } from '../../service/network/addresses.ts';
import { cookieOf, startApi } from './support/api.ts';

const CHANGES = [
  ['GET', '/dead-letters'],
  ['POST', '/dead-letters/retry'],
  ['POST', '/dead-letters/discard'],
  ['POST', '/damage/acknowledge'],
  ['POST', '/backup'],
  ['POST', '/scan'],
  ['DELETE', '/devices/polar'],
  ['POST', '/devices/polar/reset-energy'],
  ['POST', '/log-level'],
] as const;
const READS = [
  '/health',
  '/queue',
  '/queue/history',
  '/queue/runs/0123456789abcdef',
  '/devices',
  '/devices/polar',
  '/devices/polar/readings',
  '/metrics',
  '/openapi.json',
  '/docs/',
];

test('every change, and the dead letters, need the token: none, a wrong one, its beginning and a longer one are 401', async (t) => {
  const { ask, token } = await startApi(t);
  const wrong = [undefined, 'x', token.slice(0, -1), `${token}x`, `${token.slice(0, -1)}${token.endsWith('A') ? 'B' : 'A'}`];
  for (const [method, target] of CHANGES) {
    for (const given of wrong) {
      const answer = await ask(method, target, given === undefined ? {} : { token: given });
      assert.deepEqual([answer.status, answer.code], [401, 'token_needed'], `${method} ${target}`);
    }
    // With the token the request is handled, and fails because there is no broker or the body is invalid.
    assert.ok([400, 503].includes((await ask(method, target, { token })).status), `${method} ${target}`);
  }
});

test('login sets the cookie of a session, which no script can read and no other site can send, and which is not the token', async (t) => {
  const { ask, token } = await startApi(t);
  const refused = await ask('POST', '/login', { body: JSON.stringify({ token: 'guess' }) });
  assert.deepEqual([refused.status, refused.headers['set-cookie']], [401, undefined]);
  const login = await ask('POST', '/login', { body: JSON.stringify({ token }) });
  const header = String(login.headers['set-cookie']);
  for (const word of ['HttpOnly', 'SameSite=Strict', 'Path=/']) assert.ok(header.includes(word), word);
  const cookie = cookieOf(login) ?? '';
  assert.match(cookie, /^[\w-]{43}$/);
  assert.ok(!header.includes(token) && !login.text.includes(token), 'the token is in the answer');
  assert.equal((await ask('GET', '/session', { cookie })).text, '{"operator":true}');
  assert.equal((await ask('POST', '/scan', { cookie })).status, 503);
  for (const wrong of ['guess', token, cookie.slice(1)])
    assert.equal((await ask('GET', '/session', { cookie: wrong })).text, '{"operator":false}', wrong);
  // A valid cookie does not make up for a wrong Bearer token.
  assert.equal((await ask('POST', '/scan', { cookie, token: 'guess' })).status, 401);
});

for (const [outcome, environment] of [
  ['granted', {}],
  ['refused', { ADMIN_ANONYMOUS: 'none' }],
  ['refused', { ADMIN_HOST: '0.0.0.0' }],
  ['granted', { ADMIN_HOST: '0.0.0.0', ADMIN_ANONYMOUS: 'read' }],
] as const)
  test(`reading without the token is ${outcome} with ${JSON.stringify(environment)}; liveness is always reported`, async (t) => {
    const { ask, token } = await startApi(t, environment);
    for (const target of READS) {
      const { status } = await ask('GET', target);
      if (outcome === 'refused') assert.equal(status, 401, target);
      else assert.notEqual(status, 401, target);
      assert.notEqual((await ask('GET', target, { token })).status, 401, target);
    }
    assert.equal((await ask('GET', '/health/live')).status, 200);
  });

test('a Host other than an IP address, localhost or an allowed name is refused on every route (DNS rebinding)', async (t) => {
  const { ask, token } = await startApi(t, { ADMIN_ALLOWED_HOSTS: 'box.local' });
  for (const host of [
    'evil.example',
    '127.evil.example',
    '127.0.0.1.evil.example',
    'localhost.evil.example',
    '[::1',
    'evil.example:8080',
  ])
    for (const target of ['/', '/health', '/health/live', '/openapi.json', '/session']) {
      const answer = await ask('GET', target, { headers: { host }, token });
      assert.deepEqual([answer.status, answer.code], [403, 'host_not_allowed'], `${host} ${target}`);
    }
  for (const host of ['127.0.0.1:8080', 'localhost', 'LOCALHOST:1', '[::1]:8080', '192.0.2.7', 'box.local:8080'])
    assert.equal((await ask('GET', '/health/live', { headers: { host } })).status, 200, host);
});

test("a change with the Origin of another site is refused even with the token; the page's own is accepted", async (t) => {
  const { ask, token, port } = await startApi(t);
  for (const origin of ['http://evil.example', 'null', `http://127.0.0.1:${port + 1}`, 'http://127.0.0.1', 'file://'])
    for (const [method, target, body] of [
      ['POST', '/scan', undefined],
      ['POST', '/login', JSON.stringify({ token })],
      ['POST', '/logout', undefined],
      ['DELETE', '/devices/polar', undefined],
    ] as const) {
      const answer = await ask(method, target, { headers: { origin }, token, ...(body === undefined ? {} : { body }) });
      assert.deepEqual([answer.status, answer.code], [403, 'origin_not_allowed'], `${origin} ${target}`);
      assert.equal(answer.headers['set-cookie'], undefined);
    }
  assert.equal((await ask('POST', '/scan', { headers: { origin: `http://127.0.0.1:${port}` }, token })).status, 503);
});

test('no answer allows another origin to read it, and each carries the security headers', async (t) => {
  const { ask } = await startApi(t);
  for (const target of ['/', '/health', '/no-such-page', '/docs/', '/login'])
    for (const method of ['GET', 'OPTIONS', 'POST']) {
      const { headers } = await ask(method, target, {
        headers: { origin: 'http://evil.example', 'access-control-request-method': 'POST' },
      });
      assert.deepEqual(
        Object.keys(headers).filter((name) => name.startsWith('access-control-')),
        [],
        `${method} ${target}`,
      );
      assert.match(String(headers['content-security-policy']), /default-src 'none'.*frame-ancestors 'none'/);
      assert.equal(headers['x-content-type-options'], 'nosniff');
      assert.equal(headers['x-frame-options'], 'DENY');
      assert.equal(headers['referrer-policy'], 'no-referrer');
      assert.equal(headers['cross-origin-resource-policy'], 'same-origin');
      assert.equal(headers['x-powered-by'], undefined);
    }
});

test('bodies are bounded: a large one is refused before it is read, and invalid JSON is 4xx', async (t) => {
  const { ask, token } = await startApi(t);
  assert.equal((await ask('POST', '/login', { body: JSON.stringify({ token: 'x'.repeat(70_000) }) })).status, 413);
  assert.equal((await ask('POST', '/login', { body: '{"token"' })).status, 400);
  assert.equal((await ask('POST', '/login', { body: '{"token":"x","more":1}' })).status, 400);
  assert.equal((await ask('POST', '/login', { body: 'x', headers: { 'content-type': 'text/plain' } })).status, 400);
  assert.equal((await ask('POST', '/login', { body: '<x/>', headers: { 'content-type': 'application/xml' } })).status, 415);
  assert.equal(
    (
      await ask('POST', '/dead-letters/retry', {
        token,
        body: JSON.stringify({ ids: Array.from({ length: 1001 }, (_, i) => i + 1) }),
      })
    ).status,
    400,
  );
  assert.equal((await ask('GET', '/..%2f..%2fpackage.json')).status, 404);
  assert.ok((await ask('GET', `/${'a'.repeat(100_000)}`).catch(() => ({ status: 431 }))).status >= 400);
});

test('only addresses that other machines cannot reach count as loopback; a name that resembles one does not', () => {
  for (const host of ['localhost', '127.0.0.1', '127.8.9.10', '::1', '[::1]', '::ffff:127.0.0.1'])
    assert.ok(isLoopback(host), host);
  for (const host of ['127.evil.example', '0.0.0.0', '::', '10.0.0.1', 'localhost.evil.example', ''])
    assert.ok(!isLoopback(host), host);
  assert.ok(isOwnHost('Box.Local:80', ['box.local']));
  for (const host of [undefined, '', 'evil.example', '127.evil.example']) assert.ok(!isOwnHost(host, []), String(host));
});
