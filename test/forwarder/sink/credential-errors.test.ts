import assert from 'node:assert/strict';
import { chmodSync, existsSync, writeFileSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { CreateStreamCommand } from '@aws-sdk/client-kinesis';
import { runCredentialProcess } from '../../../forwarder/sink/credential-process.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { eventually } from '../../support/eventually.ts';
import { sharedStream } from '../../support/local-stream.ts';
import { startDrain } from '../drain/support/drain-bench.ts';
import { withEnvironment } from '../drain/support/recording-proxy.ts';
import { BOX, failureOf } from './support/one-request.ts';

const stream = sharedStream();

interface Expected {
  state: string;
  detail: RegExp;
  hint?: RegExp;
}

function assertFailure(failure: Awaited<ReturnType<typeof failureOf>>, { state, detail, hint = /./ }: Expected): void {
  assert.equal(failure?.state, state, `${failure?.state}: ${failure?.detail}`);
  assert.match(failure.detail, detail);
  assert.match(failure.hint, hint);
}

/** A server of credentials on loopback that answers like this. */
async function credentialServer(t: TestContext, answer: (response: ServerResponse) => void): Promise<string> {
  const server = createServer((_, response) => answer(response));
  server.listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Shared files with these lines; FOLDER stands for the folder. */
function shared(t: TestContext, config: string, credentials = ''): Record<string, string> & { folder: string } {
  const folder = tempDir(t);
  writeFileSync(path.join(folder, 'config'), config.replaceAll('FOLDER', folder));
  writeFileSync(path.join(folder, 'credentials'), credentials);
  return {
    folder,
    AWS_CONFIG_FILE: path.join(folder, 'config'),
    AWS_SHARED_CREDENTIALS_FILE: path.join(folder, 'credentials'),
  };
}

function program(folder: string, script: string): void {
  writeFileSync(path.join(folder, 'program'), `#!/bin/sh\n${script}\n`);
  chmodSync(path.join(folder, 'program'), 0o755);
}

const failure = async (variables: Record<string, string | undefined>): ReturnType<typeof failureOf> =>
  await failureOf({ KINESIS_TARGET: (await stream()).endpoint }, variables);

for (const [what, script, expected] of [
  [
    'is not there',
    undefined,
    { state: 'misconfigured', detail: /credential_process: \S+\/program was not found/, hint: /Install the program/ },
  ],
  [
    'fails',
    'echo "device certificate expired on 1 May" >&2; exit 3',
    { state: 'credentials_expired', detail: /\/program ended with exit code 3: device certificate expired on 1 May$/ },
  ],
  [
    'is refused',
    'echo "HTTP 403 Forbidden" >&2; exit 22',
    { state: 'unauthorized', detail: /exit code 22: HTTP 403 Forbidden$/ },
  ],
  [
    'cannot reach its server',
    'echo "curl: (7) Failed to connect to c.iot port 443: Connection refused" >&2; exit 7',
    { state: 'unreachable', detail: /exit code 7: curl: \(7\) Failed/, hint: /cannot be reached/ },
  ],
  [
    'prints something else',
    'echo "<html>"; echo "no network yet" >&2',
    { state: 'unauthorized', detail: /did not print credentials \(JSON\): no network yet$/ },
  ],
  ['prints another version', 'echo \'{"Version":2}\'', { state: 'unauthorized', detail: /did not return Version 1/ }],
  [
    'writes a secret to stderr',
    'echo "aws_secret_access_key=wJalrXUtnFEMIK7MDENGbPxRfiCY failed" >&2; exit 1',
    { state: 'unauthorized', detail: /exit code 1: aws_secret_access_key=\*\*\* failed$/ },
  ],
] as const)
  test(`a credential_process that ${what} is named, with its last words`, async (t) => {
    const { folder, ...files } = shared(t, '[default]\ncredential_process = FOLDER/program --token geheim-4711\n');
    if (script !== undefined) program(folder, script);
    const found = await failure(files);
    assertFailure(found, expected);
    assert.match(found?.detail ?? '', /^credential_process of the profile default: /);
    // Its arguments may be secret.
    assert.doesNotMatch(found?.detail ?? '', /geheim/);
  });

test('a credential_process that never ends is ended, and what it said is kept', async () => {
  const startedAt = performance.now();
  const error = await new Promise<Error | null>((resolve) => {
    runCredentialProcess('echo "waiting for the TPM" >&2; exec sleep 60', resolve, 1000);
  });
  assert.ok(performance.now() - startedAt < 20_000, 'it is ended soon');
  assert.match(error?.message ?? '', /^credential_process: echo did not end within 1 s: waiting for the TPM$/);
});

test('a stop does not wait for a source of credentials', async (t) => {
  const { folder, ...files } = shared(t, '[default]\ncredential_process = FOLDER/program\n');
  program(folder, 'touch started; exec sleep 15'.replace('started', path.join(folder, 'started')));
  withEnvironment(t, { ...BOX, ...files });
  const { endpoint } = await stream();
  const bench = await startDrain(t, await stream(), { elsewhere: { KINESIS_TARGET: endpoint } });
  bench.add(1);
  await eventually(() => existsSync(path.join(folder, 'started')));
  const startedAt = performance.now();
  await bench.drain.stop();
  assert.ok(performance.now() - startedAt < 8000, 'the stop ends before the program does');
  assert.equal(bench.queue.state.ledger.queued, 1);
});

test('a program of a profile that another profile uses is named as well', async (t) => {
  const { folder: _, ...files } = shared(
    t,
    '[default]\nrole_arn = arn:aws:iam::123456789012:role/box\nsource_profile = keys\n' +
      '[profile keys]\ncredential_process = FOLDER/program\n',
  );
  assertFailure(await failure(files), {
    state: 'misconfigured',
    detail: /^role of the profile default: credential_process: \S+ was not found/,
  });
});

for (const [what, answer, expected] of [
  [
    'refuses',
    (response: ServerResponse) => response.writeHead(403).end('{"Code":"AccessDenied","Message":"no"}'),
    'unauthorized',
  ],
  ['has a problem', (response: ServerResponse) => response.writeHead(500).end(), 'error'],
  ['sends a web page', (response: ServerResponse) => response.end('<html>log in</html>'), 'unreachable'],
] as const)
  test(`a container's credentials endpoint that ${what} is ${expected}`, async (t) => {
    const url = await credentialServer(t, answer);
    assertFailure(await failure({ AWS_CONTAINER_CREDENTIALS_FULL_URI: `${url}/role` }), {
      state: expected,
      detail: /^container credentials \(AWS_CONTAINER_CREDENTIALS_FULL_URI\): /,
    });
  });

test("a container's credentials endpoint, or a metadata service, that cannot be reached is unreachable", async (t) => {
  const url = await credentialServer(t, (response) => response.destroy());
  const closed = 'http://127.0.0.1:9';
  assertFailure(await failure({ AWS_CONTAINER_CREDENTIALS_FULL_URI: closed }), { state: 'unreachable', detail: /ECONNREFUSED/ });
  assertFailure(await failure({ AWS_EC2_METADATA_DISABLED: undefined, AWS_EC2_METADATA_SERVICE_ENDPOINT: closed }), {
    state: 'unreachable',
    detail: /^EC2 metadata service: Unable to connect.*ECONNREFUSED/,
    hint: /cannot be reached/,
  });
  assertFailure(await failure({ AWS_CONTAINER_CREDENTIALS_FULL_URI: url }), {
    state: 'unreachable',
    detail: /socket hang up|ECONNRESET/,
  });
});

test('what is half configured, or names a file or profile that is not there, is misconfigured, and the variable is named', async (t) => {
  const { folder: _, ...files } = shared(t, '[default]\nregion = eu-west-1\n[profile empty]\nregion = eu-west-1\n');
  for (const [variables, detail] of [
    [{ AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE12345' }, /AWS_SECRET_ACCESS_KEY is not set/],
    [
      { AWS_WEB_IDENTITY_TOKEN_FILE: '/nonexistent/token' },
      /AWS_ROLE_ARN: must be set together with AWS_WEB_IDENTITY_TOKEN_FILE/,
    ],
    [
      { AWS_WEB_IDENTITY_TOKEN_FILE: '/nonexistent/token', AWS_ROLE_ARN: 'arn:aws:iam::123456789012:role/box' },
      /AWS_WEB_IDENTITY_TOKEN_FILE: cannot be read: ENOENT/,
    ],
    [
      { AWS_CONTAINER_CREDENTIALS_FULL_URI: 'http://127.0.0.1:9', AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: '/nonexistent/token' },
      /AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: cannot be read: ENOENT/,
    ],
    [{ ...files, AWS_PROFILE: 'other' }, /AWS_PROFILE: the profile other is in none of the shared files/],
    [{ ...files, AWS_PROFILE: 'empty' }, /AWS_PROFILE: the profile empty has no credentials/],
    [{ AWS_PROFILE: 'other' }, /AWS_SHARED_CREDENTIALS_FILE: cannot be read: ENOENT.*; AWS_CONFIG_FILE: cannot be read: ENOENT/],
  ] as const)
    assertFailure(await failure(variables), { state: 'misconfigured', detail });
});

test('without any source the uplink is unauthorized, says so, and names files that cannot be read', async () => {
  assertFailure(await failure({}), {
    state: 'unauthorized',
    detail: /no credentials are configured; AWS_SHARED_CREDENTIALS_FILE: cannot be read: ENOENT/,
    hint: /AWS_ACCESS_KEY_ID.*AWS_PROFILE.*role/s,
  });
});

test('a source that works is used although one before it does not', async (t) => {
  const { endpoint, client } = await stream();
  await client.send(new CreateStreamCommand({ StreamName: 'sink', ShardCount: 1 })).catch(() => undefined);
  const keys = { AccessKeyId: 'CONTAINERKEY1234', SecretAccessKey: 'secret-of-container', Token: 'token-of-container' };
  const url = await credentialServer(t, (response) =>
    response.end(JSON.stringify({ ...keys, Expiration: new Date(Date.now() + 3_600_000).toISOString() })),
  );
  const { folder: _, ...files } = shared(t, '[default]\ncredential_process = FOLDER/program\n');
  assert.equal(await failureOf({ KINESIS_TARGET: endpoint }, { ...files, AWS_CONTAINER_CREDENTIALS_FULL_URI: url }), undefined);
});
