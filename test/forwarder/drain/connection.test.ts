import assert from 'node:assert/strict';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { test, type TestContext } from 'node:test';
import { eventually } from '../../support/eventually.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { sharedStream } from '../../support/local-stream.ts';
import { startDrain, type DrainBench } from './support/drain-bench.ts';
import { startRecordingProxy, withEnvironment, type RecordingProxy } from './support/recording-proxy.ts';

const unlimited = sharedStream();
const NO_CREDENTIALS = {
  AWS_ACCESS_KEY_ID: undefined,
  AWS_SECRET_ACCESS_KEY: undefined,
  AWS_SESSION_TOKEN: undefined,
  AWS_PROFILE: undefined,
  AWS_EC2_METADATA_DISABLED: 'true',
  AWS_REGION: 'eu-west-1',
  NO_PROXY: undefined,
  no_proxy: undefined,
};

/** A bench whose requests go through a proxy to the local stream, as to any endpoint. */
async function throughProxy(
  t: TestContext,
  environment: Record<string, string>,
): Promise<{ bench: DrainBench; proxy: RecordingProxy }> {
  const proxy = await startRecordingProxy(t);
  withEnvironment(t, { ...NO_CREDENTIALS, HTTP_PROXY: proxy.url, HTTPS_PROXY: proxy.url, ...environment });
  const stream = await unlimited();
  return { proxy, bench: await startDrain(t, stream, { elsewhere: { KINESIS_TARGET: stream.endpoint } }) };
}

/** Files of shared credentials and configuration of a test's own. */
function sharedFiles(t: TestContext, config = ''): { credentials: string; environment: Record<string, string>; folder: string } {
  const folder = tempDir(t);
  const credentials = path.join(folder, 'credentials');
  writeFileSync(path.join(folder, 'config'), config.replaceAll('FOLDER', folder));
  writeFileSync(credentials, '');
  return {
    folder,
    credentials,
    environment: { AWS_SHARED_CREDENTIALS_FILE: credentials, AWS_CONFIG_FILE: path.join(folder, 'config') },
  };
}

const profile = (key: string): string => `[default]\naws_access_key_id = ${key}\naws_secret_access_key = secret\n`;

test('an endpoint is reached through HTTP_PROXY unless NO_PROXY names its host', async (t) => {
  const { bench, proxy } = await throughProxy(t, { AWS_ACCESS_KEY_ID: 'FIRST', AWS_SECRET_ACCESS_KEY: 'secret' });
  bench.add(3);
  await bench.settled(3);
  assert.ok(proxy.accessKeys.length > 0 && proxy.accessKeys.every((key) => key === 'FIRST'));
  const direct = await throughProxy(t, { AWS_ACCESS_KEY_ID: 'FIRST', AWS_SECRET_ACCESS_KEY: 'secret', NO_PROXY: '127.0.0.1' });
  direct.bench.add(3);
  await direct.bench.settled(3);
  assert.deepEqual(direct.proxy.accessKeys, []);
});

for (const [name, environment, host] of [
  ['as it comes', {}, 'kinesis.eu-west-1.amazonaws.com:443'],
  ['with AWS_USE_FIPS_ENDPOINT', { AWS_USE_FIPS_ENDPOINT: 'true' }, 'kinesis-fips.eu-west-1.amazonaws.com:443'],
  ['with AWS_USE_DUALSTACK_ENDPOINT', { AWS_USE_DUALSTACK_ENDPOINT: 'true' }, 'kinesis.eu-west-1.api.aws:443'],
  ['with AWS_ENDPOINT_URL_KINESIS', { AWS_ENDPOINT_URL_KINESIS: 'https://stream.example.invalid' }, 'stream.example.invalid:443'],
] as const)
  test(`aws ${name} is ${host}, through HTTPS_PROXY, and a refusing proxy is reported`, async (t) => {
    const proxy = await startRecordingProxy(t);
    withEnvironment(t, {
      ...NO_CREDENTIALS,
      HTTPS_PROXY: proxy.url,
      AWS_ACCESS_KEY_ID: 'FIRST',
      AWS_SECRET_ACCESS_KEY: 'secret',
      ...environment,
    });
    const bench = await startDrain(t, await unlimited(), { elsewhere: { KINESIS_TARGET: 'aws' } });
    bench.add(1);
    await eventually(() => proxy.tunnels.includes(host), { what: `${host}, not ${proxy.tunnels.join()}` });
    await eventually(() => bench.drain.uplink.current.state === 'unreachable', { what: bench.drain.uplink.current.detail });
    assert.deepEqual([...new Set(proxy.tunnels)], [host]);
  });

test('credentials rotated in the shared file are picked up without a restart', async (t) => {
  const { credentials, environment } = sharedFiles(t);
  writeFileSync(credentials, profile('OLD'));
  const { bench, proxy } = await throughProxy(t, environment);
  bench.add(1);
  await bench.settled(1);
  await bench.faults({ request: 'expiredToken' });
  bench.add(1);
  await eventually(() => bench.drain.uplink.current.state === 'credentials_expired');
  writeFileSync(credentials, profile('NEW'));
  await eventually(() => proxy.accessKeys.at(-1) === 'NEW', { what: `NEW, not ${proxy.accessKeys.join()}` });
  await bench.faults({});
  await bench.settled(2);
});

test('without credentials the uplink is unauthorized and hints at them; once they exist it continues', async (t) => {
  const { credentials, environment } = sharedFiles(t);
  const { bench } = await throughProxy(t, environment);
  bench.add(1);
  await eventually(() => bench.drain.uplink.current.state === 'unauthorized', { what: bench.drain.uplink.current.detail });
  assert.match(bench.drain.uplink.current.hint, /AWS_ACCESS_KEY_ID.*AWS_PROFILE.*role/s);
  writeFileSync(credentials, profile('LATER'));
  await bench.settled(1);
});

test('a credential_process, as X.509 identities use it, runs again when its credentials expire', async (t) => {
  const { folder, environment } = sharedFiles(t, '[default]\ncredential_process = FOLDER/process\n');
  const program = path.join(folder, 'process');
  writeFileSync(path.join(folder, 'runs'), '');
  writeFileSync(
    program,
    `#!/bin/sh\necho run >> ${folder}/runs\nn=$(wc -l < ${folder}/runs)\n` +
      `echo '{"Version":1,"AccessKeyId":"RUN'$n'","SecretAccessKey":"secret","SessionToken":"token",` +
      `"Expiration":"'$(date -u -d '+1 second' +%Y-%m-%dT%H:%M:%SZ)'"}'\n`,
  );
  chmodSync(program, 0o755);
  const { bench, proxy } = await throughProxy(t, environment);
  for (let count = 1; count <= 3; count += 1) {
    bench.add(1);
    await bench.settled(count);
    // Until these credentials have expired.
    await sleep(1100);
  }
  assert.ok(new Set(proxy.accessKeys).size >= 2, proxy.accessKeys.join());
  assert.ok(readFileSync(path.join(folder, 'runs'), 'utf8').split('\n').length > 2);
});

test('a stop during a request ends soon, and its readings stay queued', async (t) => {
  const bench = await startDrain(t, await unlimited());
  await bench.faults({ latencyMs: 60_000 });
  bench.add(5);
  await eventually(() => bench.drain.underWay === 1);
  const startedAt = performance.now();
  await bench.drain.stop();
  assert.ok(performance.now() - startedAt < 10_000);
  assert.equal(bench.queue.state.ledger.queued, 5);
});
