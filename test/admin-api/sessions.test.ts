import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { test, type TestContext } from 'node:test';
import { SESSION_SECONDS, Sessions } from '../../admin-api/sessions.ts';
import { eventually } from '../support/eventually.ts';
import { cookieOf, startApi, type Ask } from './support/api.ts';

async function logIn(ask: Ask, token: string): Promise<string> {
  return cookieOf(await ask('POST', '/login', { body: JSON.stringify({ token }) })) ?? '';
}

/** Follows the events with a cookie. `isOpen` is false once the server has closed the stream. */
async function followEvents(t: TestContext, port: number, cookie: string): Promise<{ status: number; isOpen: () => boolean }> {
  return await new Promise((resolve, reject) => {
    const asked = get(
      { port, host: '127.0.0.1', path: '/events', agent: false, headers: { cookie: `hr_gateway_session=${cookie}` } },
      (answer) => {
        let open = true;
        answer.on('close', () => (open = false));
        answer.on('error', () => {});
        answer.resume();
        resolve({ status: answer.statusCode ?? 0, isOpen: () => open });
      },
    );
    asked.on('error', reject);
    t.after(() => asked.destroy());
  });
}

test('logout ends the session: a copy of its cookie is worth nothing, its event streams close, and other sessions continue', async (t) => {
  const { ask, token, port } = await startApi(t, { ADMIN_ANONYMOUS: 'none' });
  const stolen = await logIn(ask, token);
  const other = await logIn(ask, token);
  assert.notEqual(stolen, other);
  const stream = await followEvents(t, port, stolen);
  const otherStream = await followEvents(t, port, other);
  assert.deepEqual([stream.status, otherStream.status], [200, 200]);
  const logout = await ask('POST', '/logout', { cookie: stolen });
  assert.equal(cookieOf(logout), '');
  assert.equal((await ask('POST', '/scan', { cookie: stolen })).status, 401);
  assert.equal((await ask('GET', '/queue', { cookie: stolen })).status, 401);
  assert.equal((await ask('GET', '/session', { cookie: stolen })).text, '{"operator":false}');
  assert.equal((await ask('POST', '/scan', { cookie: other })).status, 503);
  await eventually(() => !stream.isOpen(), { what: 'the event stream of the ended session to close' });
  assert.ok(otherStream.isOpen(), 'the event stream of another session was closed');
});

for (const [how, rotate] of [
  ['written', (file: string) => writeFileSync(file, `${'n'.repeat(32)}\n`, { mode: 0o600 })],
  ['removed', (file: string) => rmSync(file)],
] as const)
  test(`a token that is ${how} anew ends all sessions and their event streams, and the old token, without a restart`, async (t) => {
    const { ask, token, port, tokenFile } = await startApi(t, { ADMIN_ANONYMOUS: 'none' });
    const cookies = [await logIn(ask, token), await logIn(ask, token)];
    const stream = await followEvents(t, port, cookies[0] ?? '');
    rotate(tokenFile);
    await eventually(async () => (await ask('GET', '/session', { cookie: cookies[0] ?? '' })).text === '{"operator":false}', {
      what: 'the session to end',
    });
    for (const cookie of cookies) assert.equal((await ask('POST', '/scan', { cookie })).status, 401);
    assert.equal((await ask('POST', '/scan', { token })).status, 401);
    await eventually(() => !stream.isOpen(), { what: 'the event stream to close' });
    if (how === 'written') assert.equal((await ask('POST', '/scan', { token: 'n'.repeat(32) })).status, 503);
  });

test('a session lasts seven days, and beyond a hundred of them the oldest ends', () => {
  let nowMs = 0;
  const ended: string[] = [];
  const sessions = new Sessions(
    (key) => ended.push(key),
    () => nowMs,
  );
  const first = sessions.begin();
  const key = sessions.keyOf(first);
  nowMs = SESSION_SECONDS * 1000 - 1;
  assert.equal(sessions.keyOf(first), key);
  nowMs += 1;
  assert.equal(sessions.keyOf(first), undefined);
  assert.deepEqual(ended, [key]);
  const oldest = sessions.begin();
  const others = Array.from({ length: 99 }, () => sessions.begin());
  assert.notEqual(sessions.keyOf(oldest), undefined);
  sessions.begin();
  assert.equal(sessions.keyOf(oldest), undefined);
  assert.ok(
    others.every((id) => sessions.keyOf(id) !== undefined),
    'a newer session ended',
  );
});

test('the cookie of 1.0.0, which held the token itself, is accepted no longer and removed from the browser', async (t) => {
  const { ask, token } = await startApi(t);
  const headers = { cookie: `hr_gateway_token=${token}` };
  assert.equal((await ask('POST', '/scan', { headers })).status, 401);
  const session = await ask('GET', '/session', { headers });
  assert.equal(session.text, '{"operator":false}');
  assert.equal(cookieOf(session, 'hr_gateway_token'), '');
});
