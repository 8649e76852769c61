import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { CreateStreamCommand } from '@aws-sdk/client-kinesis';
import { SDK_VARIABLES, SdkEnvironment } from '../../../service/config/sdk-variables.ts';
import { makeSigningAuthority } from '../../support/signed-certificates.ts';
import { filesBelow, readSource } from '../../support/source-tree.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { sharedStream } from '../../support/local-stream.ts';
import { startAwsAtHome, type AwsAtHome, type AwsRequest } from './support/aws-at-home.ts';
import { failureOf, KEYS, type Variables } from './support/one-request.ts';

type Name = keyof typeof SDK_VARIABLES;

interface Row {
  /** A value that works, or several variables that do together. */
  good?: string | Variables;
  /** What is seen at AWS: `host:port` of the tunnel, or something in the request. */
  seen?: string | ((request: AwsRequest) => boolean);
  /** A value that cannot be obeyed. */
  bad?: string;
  /** Only with this target; both otherwise. */
  target?: 'aws' | 'endpoint';
}

const NO_KEYS: Variables = { AWS_ACCESS_KEY_ID: undefined, AWS_SECRET_ACCESS_KEY: undefined };
const signedBy =
  (key: string) =>
  ({ headers }: AwsRequest): boolean =>
    String(headers.authorization).includes(`Credential=${key}/`);
const inRegion =
  (region: string) =>
  ({ headers }: AwsRequest): boolean =>
    String(headers.authorization).includes(`/${region}/kinesis/`);

/** Every variable: what it does, and what a mistake in it leads to. FOLDER stands for a folder with the files below. */
const ROWS: Readonly<Record<Name, Row>> = {
  AWS_REGION: { good: 'eu-central-1', seen: inRegion('eu-central-1'), bad: 'eu central' },
  AWS_DEFAULT_REGION: {
    good: { AWS_REGION: undefined, AWS_DEFAULT_REGION: 'us-west-2' },
    seen: inRegion('us-west-2'),
    bad: 'us_west',
  },
  AWS_ACCESS_KEY_ID: { good: 'AKIDOTHER1234567', seen: signedBy('AKIDOTHER1234567') },
  AWS_SECRET_ACCESS_KEY: { good: 'another-secret' },
  AWS_SESSION_TOKEN: {
    good: 'token-of-a-session',
    seen: ({ headers }) => headers['x-amz-security-token'] === 'token-of-a-session',
  },
  AWS_CREDENTIAL_EXPIRATION: { good: '2099-01-01T00:00:00Z', bad: 'tomorrow' },
  AWS_CREDENTIAL_SCOPE: { good: 'scope' },
  AWS_ACCOUNT_ID: {
    good: '123456789012',
    seen: '123456789012.data-kinesis.eu-west-1.amazonaws.com:443',
    bad: '1234',
    target: 'aws',
  },
  AWS_PROFILE: {
    good: { ...NO_KEYS, AWS_PROFILE: 'box', AWS_SHARED_CREDENTIALS_FILE: 'FOLDER/credentials' },
    seen: signedBy('AKIDOFPROFILE123'),
    bad: 'none',
  },
  AWS_CONFIG_FILE: { good: { ...NO_KEYS, AWS_CONFIG_FILE: 'FOLDER/config' }, seen: signedBy('AKIDOFCONFIG1234') },
  AWS_SHARED_CREDENTIALS_FILE: {
    good: { ...NO_KEYS, AWS_SHARED_CREDENTIALS_FILE: 'FOLDER/credentials' },
    seen: signedBy('AKIDOFDEFAULT123'),
  },
  AWS_LOGIN_CACHE_DIRECTORY: { good: 'FOLDER' },
  AWS_WEB_IDENTITY_TOKEN_FILE: {
    good: { ...NO_KEYS, AWS_WEB_IDENTITY_TOKEN_FILE: 'FOLDER/token', AWS_ROLE_ARN: 'arn:aws:iam::123456789012:role/box' },
    seen: signedBy('AKIDOFSTS1234567'),
    target: 'aws',
  },
  AWS_ROLE_ARN: { bad: 'box' },
  AWS_ROLE_SESSION_NAME: {
    good: {
      ...NO_KEYS,
      AWS_WEB_IDENTITY_TOKEN_FILE: 'FOLDER/token',
      AWS_ROLE_ARN: 'arn:aws:iam::123456789012:role/box',
      AWS_ROLE_SESSION_NAME: 'box-4711',
    },
    seen: ({ body }) => body.includes('RoleSessionName=box-4711'),
    bad: 'a name',
    target: 'aws',
  },
  AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: { bad: 'role' },
  // That it works: credential-errors.test.ts.
  AWS_CONTAINER_CREDENTIALS_FULL_URI: { bad: '169.254.170.2/role' },
  AWS_CONTAINER_AUTHORIZATION_TOKEN: { good: 'token-of-the-container' },
  AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: { good: 'FOLDER/token' },
  AWS_EC2_METADATA_DISABLED: { good: 'true' },
  AWS_EC2_METADATA_V1_DISABLED: { good: 'true' },
  AWS_EC2_METADATA_SERVICE_ENDPOINT: { bad: '169.254.169.254' },
  AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE: { good: 'IPv6', bad: 'IPv5' },
  AWS_METADATA_SERVICE_TIMEOUT: { good: '2', bad: 'long' },
  AWS_METADATA_SERVICE_NUM_ATTEMPTS: { good: '2', bad: '0' },
  AWS_ENDPOINT_URL: { good: 'https://stream.example.invalid', seen: 'stream.example.invalid:443', bad: 'stream', target: 'aws' },
  AWS_ENDPOINT_URL_KINESIS: {
    good: 'https://stream.example.invalid',
    seen: 'stream.example.invalid:443',
    bad: 'ftp://x',
    target: 'aws',
  },
  AWS_ENDPOINT_URL_STS: {
    good: {
      ...NO_KEYS,
      AWS_WEB_IDENTITY_TOKEN_FILE: 'FOLDER/token',
      AWS_ROLE_ARN: 'arn:aws:iam::123456789012:role/box',
      AWS_ENDPOINT_URL_STS: 'https://stream.example.invalid',
    },
    seen: 'stream.example.invalid:443',
    bad: 'sts',
    target: 'aws',
  },
  AWS_IGNORE_CONFIGURED_ENDPOINT_URLS: {
    good: { AWS_IGNORE_CONFIGURED_ENDPOINT_URLS: 'true', AWS_ENDPOINT_URL: 'https://stream.example.invalid' },
    seen: 'kinesis.eu-west-1.amazonaws.com:443',
    bad: 'yes',
    target: 'aws',
  },
  AWS_USE_FIPS_ENDPOINT: { good: 'true', seen: 'kinesis-fips.eu-west-1.amazonaws.com:443', bad: '1', target: 'aws' },
  AWS_USE_DUALSTACK_ENDPOINT: { good: 'true', seen: 'kinesis.eu-west-1.api.aws:443', bad: '1', target: 'aws' },
  AWS_ACCOUNT_ID_ENDPOINT_MODE: {
    good: { AWS_ACCOUNT_ID: '123456789012', AWS_ACCOUNT_ID_ENDPOINT_MODE: 'disabled' },
    seen: 'kinesis.eu-west-1.amazonaws.com:443',
    bad: 'never',
    target: 'aws',
  },
  AWS_STS_REGIONAL_ENDPOINTS: { good: 'regional' },
  AWS_RETRY_MODE: { good: 'adaptive', bad: 'often' },
  AWS_MAX_ATTEMPTS: { good: '3', bad: 'three' },
  AWS_DEFAULTS_MODE: { good: 'cross-region', bad: 'fast' },
  AWS_DISABLE_CLOCK_SKEW_CORRECTION: { good: 'true', bad: '1' },
  AWS_AUTH_SCHEME_PREFERENCE: { good: 'sigv4' },
  AWS_SIGV4A_SIGNING_REGION_SET: { good: '*' },
  AWS_ENABLE_DEFAULT_SOCKET_TIMEOUT_2026: { good: 'true' },
  AWS_SDK_UA_APP_ID: { good: 'hr-box', seen: ({ headers }) => String(headers['user-agent']).includes('app/hr-box') },
  AWS_EXECUTION_ENV: { good: 'box', seen: ({ headers }) => String(headers['user-agent']).includes('box') },
  // That it works is what all rows of the target aws show: nothing else makes them trust the server.
  AWS_CA_BUNDLE: { bad: 'FOLDER/none.pem' },
  NODE_EXTRA_CA_CERTS: { good: 'FOLDER/ca.pem' },
  HTTPS_PROXY: { good: 'PROXY', seen: 'kinesis.eu-west-1.amazonaws.com:443', bad: 'ftp://proxy', target: 'aws' },
  HTTP_PROXY: { good: 'PROXY', bad: 'http://', target: 'aws' },
  ALL_PROXY: {
    good: { HTTPS_PROXY: undefined, ALL_PROXY: 'PROXY' },
    seen: 'kinesis.eu-west-1.amazonaws.com:443',
    bad: 'gopher://proxy',
    target: 'aws',
  },
  NO_PROXY: { good: { HTTP_PROXY: 'http://127.0.0.1:9', NO_PROXY: '127.0.0.0/8' }, target: 'endpoint' },
};

/** Names in the SDK's sources that are no variables of a client of Kinesis. */
const OTHERS = new Set([
  'AWS_BACKUP',
  'AWS_ENABLE_ENDPOINT_DISCOVERY',
  'AWS_ENDPOINT_DISCOVERY_ENABLED',
  'AWS_LAMBDA_FUNCTION_NAME',
  'AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED',
]);

const STORED = JSON.stringify({ FailedRecordCount: 0, Records: [{ SequenceNumber: '1', ShardId: 'shardId-000000000000' }] });
const ASSUMED = `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult>
<Credentials><AccessKeyId>AKIDOFSTS1234567</AccessKeyId>
<SecretAccessKey>secret-of-sts</SecretAccessKey><SessionToken>token-of-sts</SessionToken>
<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`;

/** Kinesis and STS as far as one record needs them. */
function answer({ headers, body }: AwsRequest, response: ServerResponse): boolean {
  const isSts = body.includes('Action=AssumeRoleWithWebIdentity');
  assert.ok(
    isSts || String(headers['x-amz-target']).endsWith('.PutRecords'),
    `${String(headers['x-amz-target'])} is answered by nobody`,
  );
  response.setHeader('content-type', isSts ? 'text/xml' : 'application/x-amz-json-1.1');
  response.end(isSts ? ASSUMED : STORED);
  return true;
}

describe('every variable of the SDK works, or is named by a coded failure', () => {
  const stream = sharedStream();
  const cleanups: (() => unknown)[] = [];
  const scope = { after: (cleanup: unknown) => void cleanups.push(cleanup as () => unknown) };
  let aws: AwsAtHome;
  let endpoint = '';
  let folder = '';

  before(async () => {
    folder = tempDir(scope);
    const authority = makeSigningAuthority(folder);
    const names = ['*.amazonaws.com', '*.api.aws', 'stream.example.invalid'].flatMap((name) => [
      `DNS:${name}`,
      ...['eu-west-1', 'eu-central-1', 'us-west-2', 'data-kinesis.eu-west-1'].map(
        (sub) => `DNS:${name.replace('*.', `*.${sub}.`)}`,
      ),
    ]);
    aws = await startAwsAtHome(scope, { certificate: authority.sign({ names }), answer });
    const local = await stream();
    endpoint = local.endpoint;
    await local.client.send(new CreateStreamCommand({ StreamName: 'sink', ShardCount: 1 }));
    const profile = (name: string, key: string): string =>
      `[${name}]\naws_access_key_id = ${key}\naws_secret_access_key = secret\n`;
    writeFileSync(path.join(folder, 'credentials'), profile('default', 'AKIDOFDEFAULT123') + profile('box', 'AKIDOFPROFILE123'));
    writeFileSync(path.join(folder, 'config'), profile('default', 'AKIDOFCONFIG1234'));
    writeFileSync(path.join(folder, 'token'), 'a.web.token');
  });
  after(async () => {
    for (const cleanup of cleanups.toReversed()) await cleanup();
  });

  const filled = (value: string): string => value.replace('FOLDER', folder).replace('PROXY', aws.proxyUrl);
  const variablesOf = (name: Name, value: string | Variables): Variables => {
    const given: Variables = typeof value === 'string' ? { [name]: value } : value;
    return {
      ...KEYS,
      AWS_CA_BUNDLE: path.join(folder, 'ca.pem'),
      ...Object.fromEntries(Object.entries(given).map(([each, text]) => [each, text === undefined ? undefined : filled(text)])),
    };
  };
  const targets = ['aws', 'endpoint'] as const;
  const settingsOf = (target: (typeof targets)[number]): Record<string, string> => ({
    KINESIS_TARGET: target === 'aws' ? 'aws' : endpoint,
  });

  for (const [name, row] of Object.entries(ROWS) as [Name, Row][])
    for (const target of targets) {
      const { good, seen, bad } = row;
      const isWanted = row.target === undefined || row.target === target;
      if (good !== undefined && isWanted)
        test(`${name} works with the target ${target}`, async () => {
          const [tunnels, requests] = [aws.tunnels.length, aws.requests.length];
          const proxy = target === 'aws' ? { HTTPS_PROXY: aws.proxyUrl } : {};
          const failure = await failureOf(settingsOf(target), { ...proxy, ...variablesOf(name, good) });
          assert.equal(failure, undefined, JSON.stringify(failure));
          if (target !== 'aws' || seen === undefined) return;
          if (typeof seen === 'string') assert.ok(aws.tunnels.slice(tunnels).includes(seen), aws.tunnels.slice(tunnels).join());
          else assert.ok(aws.requests.slice(requests).some(seen), JSON.stringify(aws.requests.slice(requests)));
        });
      if (bad !== undefined)
        test(`a mistake in ${name} is named with the target ${target}`, async () => {
          const isProfile = name === 'AWS_PROFILE';
          const failure = await failureOf(
            settingsOf(target),
            variablesOf(name, isProfile ? { ...NO_KEYS, AWS_PROFILE: bad } : bad),
          );
          assert.equal(failure?.state, 'misconfigured', JSON.stringify(failure));
          assert.match(failure.detail, isProfile ? /AWS_SHARED_CREDENTIALS_FILE: cannot be read/ : new RegExp(`\\b${name}: `));
          assert.notEqual(failure.hint, '');
        });
    }

  test('with the local target no variable counts, whatever is in it', async () => {
    const { port } = await stream();
    const mistakes = Object.fromEntries(
      Object.entries(ROWS).map(([name, { bad, good }]) => [name, bad ?? (typeof good === 'string' ? good : 'x')]),
    );
    assert.ok(new SdkEnvironment(mistakes).faults({ ownEndpoint: false }).length > 20, 'the mistakes are mistakes');
    assert.equal(await failureOf({ LOCAL_KINESIS_PORT: String(port) }, mistakes), undefined);
  });

  test("FIPS and dual-stack endpoints are refused together with an endpoint of one's own, whichever setting names it", async () => {
    for (const name of ['AWS_USE_FIPS_ENDPOINT', 'AWS_USE_DUALSTACK_ENDPOINT'] as const) {
      const own = await failureOf(settingsOf('endpoint'), variablesOf(name, 'true'));
      assert.equal(own?.state, 'misconfigured');
      assert.match(own.detail, new RegExp(`^Misconfigured ${name}: .*\\(KINESIS_TARGET\\)`));
      const variable = await failureOf(
        settingsOf('aws'),
        variablesOf(name, { [name]: 'true', AWS_ENDPOINT_URL: 'https://stream.example.invalid' }),
      );
      assert.match(variable?.detail ?? '', new RegExp(`${name}: .*\\(AWS_ENDPOINT_URL\\)`));
      // In a shared file, where no variable is at fault.
      writeFileSync(
        path.join(folder, 'fips'),
        `[default]\nuse_${name.includes('FIPS') ? 'fips' : 'dualstack'}_endpoint = true\n`,
      );
      const shared = await failureOf(settingsOf('endpoint'), variablesOf(name, { AWS_CONFIG_FILE: 'FOLDER/fips' }));
      assert.equal(shared?.state, 'misconfigured', JSON.stringify(shared));
      assert.match(shared.detail, new RegExp(`^${name}: `));
    }
  });

  test('without a region, and with account endpoints but no account, the variable is named', async () => {
    const region = await failureOf(settingsOf('aws'), { ...variablesOf('AWS_REGION', {}), AWS_REGION: undefined });
    assert.deepEqual([region?.state, region?.detail], ['misconfigured', 'AWS_REGION: is not set']);
    const account = await failureOf(settingsOf('aws'), variablesOf('AWS_ACCOUNT_ID_ENDPOINT_MODE', 'required'));
    assert.equal(account?.state, 'misconfigured', JSON.stringify(account));
    assert.match(account.detail, /^AWS_ACCOUNT_ID_ENDPOINT_MODE: /);
  });

  test('an authority that signed nothing here is untrusted, and the hint names the variables', async () => {
    const other = makeSigningAuthority(tempDir(scope));
    const failure = await failureOf(settingsOf('aws'), { ...KEYS, HTTPS_PROXY: aws.proxyUrl, AWS_CA_BUNDLE: other.caFile });
    assert.equal(failure?.state, 'unreachable', JSON.stringify(failure));
    assert.match(failure.hint, /AWS_CA_BUNDLE.*NODE_EXTRA_CA_CERTS/);
  });
});

test('the installed SDK reads no variable that is not in the table', () => {
  const folders = [
    '@aws-sdk/client-kinesis',
    '@aws-sdk/core',
    '@aws-sdk/nested-clients',
    '@smithy/core',
    '@smithy/node-http-handler',
  ];
  const providers = ['env', 'ini', 'node', 'process', 'sso', 'login', 'web-identity', 'http'].map(
    (name) => `@aws-sdk/credential-provider-${name}`,
  );
  const found = new Set(
    [...folders, ...providers, '@smithy/credential-provider-imds', '@aws-sdk/token-providers']
      .flatMap((name) => filesBelow(`node_modules/${name}/dist-es`))
      .filter((file) => file.endsWith('.js'))
      .flatMap((file) => [...readSource(file).matchAll(/["'.](AWS_[A-Z0-9_]+)\b/g)].map(([, name = '']) => name)),
  );
  // Names of constants, which are no texts.
  const variables = [...found].filter((name) => !name.endsWith('_ENV') && !OTHERS.has(name));
  assert.ok(variables.length > 25, `${variables.length} variables found`);
  assert.deepEqual(
    variables.filter((name) => !Object.hasOwn(SDK_VARIABLES, name)),
    [],
  );
});

test('docker-compose.yml hands every variable to the forwarder, and docs/kinesis.md explains each', () => {
  const forwarder = /\n {2}forwarder:\n([\s\S]*?)\n {2}\S/.exec(readSource('docker-compose.yml'))?.[1] ?? '';
  const names = Object.keys(SDK_VARIABLES);
  assert.deepEqual(
    names.filter((name) => !new RegExp(`^ {6}${name}:`, 'm').test(forwarder)),
    [],
    'missing in docker-compose.yml',
  );
  const document = readFileSync(new URL('../../../docs/kinesis.md', import.meta.url), 'utf8');
  assert.deepEqual(
    names.filter((name) => !document.includes(`| \`${name}\` |`)),
    [],
    'missing in docs/kinesis.md',
  );
});
