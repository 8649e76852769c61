import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { spawn } from 'node:child_process';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import type { TLSSocket } from 'node:tls';
import { test, type TestContext } from 'node:test';
import { CreateStreamCommand } from '@aws-sdk/client-kinesis';
import { eventually } from '../../support/eventually.ts';
import { freePort } from '../../support/free-port.ts';
import { makeSigningAuthority, type SigningAuthority } from '../../support/signed-certificates.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { sharedStream } from '../../support/local-stream.ts';
import { startDrain } from '../drain/support/drain-bench.ts';
import { startRecordingProxy, withEnvironment } from '../drain/support/recording-proxy.ts';
import { BOX, failureOf } from './support/one-request.ts';

const stream = sharedStream();
const HOUR_MS = 3_600_000;

interface Asked {
  url: string;
  thing: string | undefined;
  /** Common name of the client's certificate. */
  box: string;
}

interface Endpoint {
  settings: Record<string, string>;
  folder: string;
  authority: SigningAuthority;
  asked: Asked[];
}

interface EndpointOptions {
  /** Default: credentials for an hour. `count`: of requests so far. */
  answer?: (response: ServerResponse, count: number) => void;
  /** Of the endpoint. */
  names?: readonly string[];
}

const credentials = (count: number, expiresInMs = HOUR_MS): string =>
  JSON.stringify({
    credentials: {
      accessKeyId: `ASIAOFTHING${count}`,
      secretAccessKey: 'secret-of-the-thing',
      sessionToken: `token-of-the-thing-${count}`,
      expiration: new Date(Date.now() + expiresInMs).toISOString(),
    },
  });

/** An endpoint that demands a certificate of the test's authority, as AWS' does, and a box that has one. */
async function startEndpoint(
  t: TestContext,
  { answer, names = ['DNS:localhost', 'IP:127.0.0.1'] }: EndpointOptions = {},
): Promise<Endpoint> {
  const folder = tempDir(t);
  const authority = makeSigningAuthority(folder);
  const own = authority.sign({ names });
  const asked: Asked[] = [];
  const server = createServer(
    {
      cert: readFileSync(own.certFile),
      key: readFileSync(own.keyFile),
      ca: readFileSync(authority.caFile),
      requestCert: true,
      rejectUnauthorized: true,
    },
    (request, response) => {
      const peer = (request.socket as TLSSocket).getPeerCertificate();
      asked.push({
        url: `${request.method} ${request.url}`,
        thing: String(request.headers['x-amzn-iot-thingname']),
        box: String(peer.subject.CN),
      });
      if (answer === undefined) response.end(credentials(asked.length));
      else answer(response, asked.length);
    },
  );
  server.listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  const box = authority.sign({ subject: 'box-4711' });
  return {
    folder,
    authority,
    asked,
    settings: {
      KINESIS_TARGET: (await stream()).endpoint,
      KINESIS_IOT_ENDPOINT: `localhost:${(server.address() as AddressInfo).port}`,
      KINESIS_IOT_ROLE_ALIAS: 'hr-box',
      KINESIS_IOT_CERT_FILE: box.certFile,
      KINESIS_IOT_KEY_FILE: box.keyFile,
      KINESIS_IOT_CA_FILE: authority.caFile,
    },
  };
}

async function makeStream(): Promise<void> {
  const { client } = await stream();
  await client.send(new CreateStreamCommand({ StreamName: 'sink', ShardCount: 1 })).catch(() => undefined);
}

test('a box with a certificate ships with the credentials of its role, and sends the name of its thing', async (t) => {
  await makeStream();
  const { settings, asked } = await startEndpoint(t);
  // Keys in the environment do not count: the setting is explicit.
  const keys = { AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE12345', AWS_SECRET_ACCESS_KEY: 'secret' };
  assert.equal(await failureOf(settings, keys, 3), undefined);
  // Asked once for three requests; without a thing name the box's own.
  assert.deepEqual(asked, [{ url: 'GET /role-aliases/hr-box/credentials', thing: 'test-box', box: 'box-4711' }]);
  assert.equal(await failureOf({ ...settings, KINESIS_IOT_THING_NAME: 'Box_4711:a' }, {}), undefined);
  assert.equal(asked[1]?.thing, 'Box_4711:a');
});

test('requests are signed with what the endpoint gave, and the session token is masked from then on', async (t) => {
  const { settings } = await startEndpoint(t);
  const proxy = await startRecordingProxy(t);
  withEnvironment(t, { ...BOX, HTTP_PROXY: proxy.url });
  const { endpoint } = await stream();
  const bench = await startDrain(t, await stream(), { elsewhere: { ...settings, KINESIS_TARGET: endpoint } });
  bench.add(2);
  await bench.settled(2);
  assert.ok(proxy.accessKeys.length > 0 && proxy.accessKeys.every((key) => key === 'ASIAOFTHING1'), proxy.accessKeys.join());
  const { maskSecrets } = await import('../../../service/secrets/mask.ts');
  assert.equal(maskSecrets('x token-of-the-thing-1 y'), 'x *** y');
});

test('credentials are refreshed before they expire, without a pause; while that fails, the present ones are used', async (t) => {
  const lifetimeMs = 2 * 60_000;
  let isAway = false;
  const { settings, asked } = await startEndpoint(t, {
    answer: (response, count) =>
      isAway ? response.destroy() : response.end(credentials(count, count === 1 ? lifetimeMs : HOUR_MS)),
  });
  isAway = false;
  withEnvironment(t, BOX);
  const bench = await startDrain(t, await stream(), { elsewhere: settings });
  bench.add(1);
  await bench.settled(1);
  assert.equal(asked.length, 1);
  // They have less than five minutes left: they are replaced while they are still valid. A failure changes nothing.
  isAway = true;
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 1000 });
  await eventually(async () => (bench.add(1), await new Promise((resolve) => setTimeout(resolve, 500)), asked.length >= 2), {
    withinMs: 20_000,
    what: 'asked again',
  });
  assert.equal(bench.drain.uplink.current.state, 'ok');
  isAway = false;
  await eventually(async () => (bench.add(1), await new Promise((resolve) => setTimeout(resolve, 500)), asked.length >= 3), {
    withinMs: 20_000,
    what: 'asked until it succeeds',
  });
  assert.equal(bench.drain.uplink.current.state, 'ok');
});

test('a clock that is three hours ahead neither refuses fresh credentials nor asks for them at each request', async (t) => {
  await makeStream();
  const { settings, asked } = await startEndpoint(t, {
    answer: (response, count) => {
      response.setHeader('date', new Date(Date.now() - 3 * HOUR_MS).toUTCString());
      response.end(credentials(count, -2 * HOUR_MS));
    },
  });
  const failure = await failureOf(settings, {}, 3);
  assert.equal(failure, undefined, JSON.stringify(failure));
  assert.equal(asked.length, 1);
});

test('a renewed certificate is used at the next refresh, without a restart', async (t) => {
  const { settings, asked, authority } = await startEndpoint(t, {
    answer: (response, count) => response.end(credentials(count, 300)),
  });
  withEnvironment(t, BOX);
  const bench = await startDrain(t, await stream(), { elsewhere: settings });
  bench.add(1);
  await bench.settled(1);
  const renewed = authority.sign({ subject: 'box-4711-renewed' });
  writeFileSync(settings['KINESIS_IOT_CERT_FILE'] ?? '', readFileSync(renewed.certFile));
  writeFileSync(settings['KINESIS_IOT_KEY_FILE'] ?? '', readFileSync(renewed.keyFile));
  await eventually(
    async () => (
      bench.add(1),
      await new Promise((resolve) => setTimeout(resolve, 200)),
      asked.at(-1)?.box === 'box-4711-renewed'
    ),
  );
  await bench.settled(bench.queue.state.ledger.accepted);
});

for (const [what, answer, state, detail] of [
  [
    '403',
    (response: ServerResponse) => response.writeHead(403).end('{"message":"Access Denied"}'),
    'unauthorized',
    /HTTP 403 Access Denied$/,
  ],
  [
    '404',
    (response: ServerResponse) => response.writeHead(404).end('{"message":"Role alias not found"}'),
    'misconfigured',
    /HTTP 404 Role alias not found$/,
  ],
  [
    '429',
    (response: ServerResponse) => response.writeHead(429).end('{"message":"Rate exceeded"}'),
    'throttled',
    /HTTP 429 Rate exceeded$/,
  ],
  ['500', (response: ServerResponse) => response.writeHead(500).end('oops'), 'error', /HTTP 500 oops$/],
  [
    'a web page',
    (response: ServerResponse) => response.end('<html>log in</html>'),
    'unreachable',
    /the answer has no credentials$/,
  ],
  [
    'expired credentials',
    (response: ServerResponse) => response.end(credentials(1, -1000)),
    'credentials_expired',
    /have expired$/,
  ],
  ['nothing', (response: ServerResponse) => response.destroy(), 'unreachable', /socket hang up|ECONNRESET/],
  ['endless data', (response: ServerResponse) => response.end('x'.repeat(200_000)), 'unreachable', /too large$/],
] as const)
  test(`an endpoint that answers ${what} makes the uplink ${state}`, async (t) => {
    const { settings } = await startEndpoint(t, { answer });
    const failure = await failureOf(settings, {});
    assert.equal(failure?.state, state, JSON.stringify(failure));
    assert.match(failure.detail, /^IoT credentials provider: /);
    assert.match(failure.detail, detail);
    assert.notEqual(failure.hint, '');
  });

test('an endpoint that is away, another name, an unknown authority, a foreign certificate: each has its own words', async (t) => {
  const { settings, folder } = await startEndpoint(t);
  const other = makeSigningAuthority(tempDir(t));
  const foreign = other.sign({ subject: 'box-4711' });
  for (const [changed, state, detail] of [
    [{ KINESIS_IOT_ENDPOINT: 'localhost:9' }, 'unreachable', /ECONNREFUSED/],
    [{ KINESIS_IOT_ENDPOINT: 'nowhere.invalid' }, 'unreachable', /ENOTFOUND|EAI_AGAIN/],
    [{ KINESIS_IOT_CA_FILE: other.caFile }, 'unreachable', /UNABLE_TO|SELF_SIGNED|certificate/],
    [
      { KINESIS_IOT_CERT_FILE: foreign.certFile, KINESIS_IOT_KEY_FILE: foreign.keyFile },
      'unreachable',
      /may not know the certificate of this box/,
    ],
    [
      { KINESIS_IOT_CERT_FILE: foreign.certFile },
      'misconfigured',
      /KINESIS_IOT_CERT_FILE and KINESIS_IOT_KEY_FILE: cannot be used: .*mismatch/,
    ],
    [{ KINESIS_IOT_CERT_FILE: path.join(folder, 'none') }, 'misconfigured', /KINESIS_IOT_CERT_FILE: cannot be read: ENOENT/],
    [{ KINESIS_IOT_KEY_FILE: settings['KINESIS_IOT_CERT_FILE'] ?? '' }, 'misconfigured', /KINESIS_IOT_KEY_FILE: cannot be used/],
    [{ KINESIS_IOT_CA_FILE: path.join(folder, 'none') }, 'misconfigured', /KINESIS_IOT_CA_FILE: cannot be read: ENOENT/],
  ] as const) {
    const failure = await failureOf({ ...settings, ...changed }, {});
    assert.equal(failure?.state, state, `${JSON.stringify(changed)}: ${JSON.stringify(failure)}`);
    assert.match(failure.detail, detail);
  }
});

test('a certificate that the endpoint refuses by an alert is unauthorized', async (t) => {
  const { settings, authority, folder } = await startEndpoint(t);
  const own = authority.sign({ names: ['DNS:localhost'] });
  const foreign = makeSigningAuthority(tempDir(t)).sign({ subject: 'box-4711' });
  const port = await freePort();
  const files = ['-cert', own.certFile, '-key', own.keyFile, '-CAfile', authority.caFile];
  const server = spawn(
    'openssl',
    ['s_server', '-accept', String(port), '-Verify', '1', '-verify_return_error', '-quiet', ...files],
    {
      cwd: folder,
      stdio: ['pipe', 'ignore', 'ignore'],
    },
  );
  t.after(() => server.kill('SIGKILL'));
  const changed = {
    KINESIS_IOT_CERT_FILE: foreign.certFile,
    KINESIS_IOT_KEY_FILE: foreign.keyFile,
    KINESIS_IOT_ENDPOINT: `localhost:${port}`,
  };
  let failure: Awaited<ReturnType<typeof failureOf>>;
  await eventually(
    async () => ((failure = await failureOf({ ...settings, ...changed }, {})), !/ECONNREFUSED/.test(failure?.detail ?? '')),
  );
  assert.equal(failure?.state, 'unauthorized', JSON.stringify(failure));
  assert.match(failure.detail, /alert/);
  assert.match(failure.hint, /KINESIS_IOT_CERT_FILE/);
});

test("this box's expired certificate is named in what the endpoint refuses", async (t) => {
  const { settings, authority } = await startEndpoint(t);
  const expired = authority.sign({ subject: 'box-4711', from: new Date('2026-01-01'), to: new Date('2026-02-01') });
  const failure = await failureOf(
    { ...settings, KINESIS_IOT_CERT_FILE: expired.certFile, KINESIS_IOT_KEY_FILE: expired.keyFile },
    {},
  );
  assert.match(failure?.detail ?? '', /the certificate of this box expired on 2026-02-01/, JSON.stringify(failure));
});

test('the endpoint is reached through HTTPS_PROXY, and the authority may come from AWS_CA_BUNDLE', async (t) => {
  await makeStream();
  const { settings, asked, authority } = await startEndpoint(t);
  const { KINESIS_IOT_CA_FILE: _, ...others } = settings;
  const refusing = await startRecordingProxy(t);
  const variables = { AWS_CA_BUNDLE: authority.caFile };
  assert.equal(await failureOf(others, variables), undefined);
  const failure = await failureOf(others, { ...variables, HTTPS_PROXY: refusing.url, HTTP_PROXY: undefined });
  assert.deepEqual(refusing.tunnels, [settings['KINESIS_IOT_ENDPOINT']]);
  assert.equal(failure?.state, 'unreachable', JSON.stringify(failure));
  assert.equal(asked.length, 1);
});
