/** The person at 3 a.m.: knows nothing but the README, finds the cause, does the one next step, and sees that it helped. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startLocalStream } from '../../support/local-stream.ts';
import { startFirstHour } from './support/first-hour.ts';

test('the person at 3 a.m. finds a lapsed token by health and doctor, and sees that readings leave again', async (t) => {
  const stream = await startLocalStream(t);
  const keys = { AWS_REGION: 'eu-west-1', AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE1234', AWS_SECRET_ACCESS_KEY: 'a-secret' };
  await stream.faults({ request: 'expiredToken' });
  const { type, typeUntil } = await startFirstHour(t, { KINESIS_TARGET: stream.endpoint, ALLOW_TEST_READINGS: 'true', ...keys });
  const health = await typeUntil("curl '127.0.0.1:8080/health?format=text'", /credentials_expired: /);
  assert.match(health, /^fail {2}uplink {2}since \S+ {2}credentials_expired: .*\n {6}→ Renew the credentials/m);
  assert.match(
    await type('npm run doctor', { code: 1 }),
    /^FAIL {2}stream .*credentials_expired: .*\n +→ Renew the credentials/m,
  );
  await stream.faults({});
  await typeUntil("curl '127.0.0.1:8080/health?format=text'", /^ok$/m);
  await typeUntil('curl 127.0.0.1:8080/queue', /"uplink":\{"state":"ok"/);
});
