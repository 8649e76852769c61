/** Attacks on the admin API that only its time limits end. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { connect as connectTls } from 'node:tls';
import { test } from 'node:test';
import { makeAuthority } from '../support/certificates.ts';
import { eventually } from '../support/eventually.ts';
import { tempDir } from '../support/temp-dir.ts';
import { slowestOf, startApi } from './support/api.ts';
import { attack, openOf } from './support/attacks.ts';

const HEAD = 'GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n';

test('headers and bodies that arrive too slowly, and connections that send nothing, are closed in time', async (t) => {
  const { port, ask, token } = await startApi(t);
  const silent = attack(t, port, '');
  const dripping = attack(t, port, HEAD, { everyMs: 500, text: 'x-a: b\r\n' });
  const slowBody = attack(
    t,
    port,
    'POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{',
    { everyMs: 1000, text: ' ' },
  );
  await eventually(() => silent.closedAfterMs() !== undefined && dripping.closedAfterMs() !== undefined, {
    withinMs: 20_000,
    what: 'half-open connections and slow headers to be closed',
  });
  for (const { closedAfterMs } of [silent, dripping]) {
    const ms = closedAfterMs() ?? 0;
    assert.ok(ms > 9000 && ms < 16_000, `closed after ${ms} ms`);
  }
  assert.match(dripping.received(), /^HTTP\/1\.1 408 /);
  await eventually(() => slowBody.closedAfterMs() !== undefined, { withinMs: 40_000, what: 'a slow body to be closed' });
  assert.ok((slowBody.closedAfterMs() ?? 0) < 36_000, `closed after ${slowBody.closedAfterMs()} ms`);
  assert.ok((await slowestOf(ask, token, 1)) < 2000, 'an answer took long');
});

test('a TLS handshake that is not finished is closed in time, and half-open ones count as connections', async (t) => {
  const { caFile, certFile, keyFile } = makeAuthority(tempDir(t));
  const { port } = await startApi(t, { ADMIN_TLS_CERT_FILE: certFile, ADMIN_TLS_KEY_FILE: keyFile });
  const attackers = Array.from({ length: 500 }, () => attack(t, port, '\u0016\u0003\u0001'));
  await eventually(() => openOf(attackers) <= 330, { what: 'the surplus to be closed' });
  const secure = connectTls({ port, host: '127.0.0.1', ca: readFileSync(caFile) });
  t.after(() => secure.destroy());
  secure.on('error', () => {});
  let answer = '';
  secure.on('data', (chunk) => (answer += String(chunk)));
  secure.write(`${HEAD}\r\n`);
  await eventually(() => answer.startsWith('HTTP/1.1 '), { what: 'an answer over TLS' });
  await eventually(() => openOf(attackers) === 0, { withinMs: 20_000, what: 'unfinished handshakes to be closed' });
});
