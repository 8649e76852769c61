import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { makeSigningAuthority, type CertificateOptions } from '../../support/signed-certificates.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { startAwsAtHome, type AwsAtHome, type AwsOptions, type AwsRequest } from './support/aws-at-home.ts';
import { failureOf, KEYS, type Variables } from './support/one-request.ts';

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
const NAMES = ['DNS:*.eu-west-1.amazonaws.com', 'IP:127.0.0.1'];
const STORED = JSON.stringify({ FailedRecordCount: 0, Records: [{ SequenceNumber: '1', ShardId: 'shardId-000000000000' }] });

interface World {
  aws: AwsAtHome;
  folder: string;
  variables: Variables;
}

/** AWS whose clock is `aheadMs` ahead of this box's, which therefore is that much behind. */
async function world(
  t: TestContext,
  { certificate = {}, ...options }: Omit<Partial<AwsOptions>, 'certificate'> & { certificate?: CertificateOptions },
): Promise<World> {
  const folder = tempDir(t);
  const authority = makeSigningAuthority(folder);
  const aws = await startAwsAtHome(t, { certificate: authority.sign({ names: NAMES, ...certificate }), ...options });
  return { aws, folder, variables: { ...KEYS, HTTPS_PROXY: aws.proxyUrl, AWS_CA_BUNDLE: authority.caFile } };
}

function stored(_: AwsRequest, response: ServerResponse): boolean {
  response.setHeader('content-type', 'application/x-amz-json-1.1');
  response.end(STORED);
  return true;
}

/** Refuses signatures that are more than 5 minutes off the server's clock, with this error. */
const checking =
  (aheadMs: number, name: string, message: string): NonNullable<AwsOptions['answer']> =>
  (request, response) => {
    const [, year, month, day, hour, minute, second] =
      /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(String(request.headers['x-amz-date'])) ?? [];
    const signedAtMs = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
    assert.ok(!Number.isNaN(signedAtMs), 'the request is signed');
    if (Math.abs(signedAtMs - (Date.now() + aheadMs)) < 5 * MINUTE_MS) return stored(request, response);
    response.setHeader('content-type', 'application/x-amz-json-1.1');
    response.writeHead(400).end(JSON.stringify({ __type: name, message }));
    return true;
  };

for (const aheadMs of [6 * MINUTE_MS, -6 * MINUTE_MS, 3 * DAY_MS, -400 * DAY_MS])
  for (const [name, message] of [
    ['InvalidSignatureException', 'Signature expired: 20200101T000000Z is now earlier than 20200101T000500Z'],
    ['InvalidSignatureException', 'Signature not yet current: 20200101T000000Z is still later than 20200101T000500Z'],
    ['SignatureDoesNotMatch', 'The request signature we calculated does not match the signature you provided.'],
    ['RequestExpired', 'Request has expired.'],
    ['RequestTimeTooSkewed', 'The difference between the request time and the current time is too large.'],
  ] as const)
    test(`a clock ${-aheadMs / MINUTE_MS} min off is clock_skew if the stream says ${name} (${message.slice(0, 21)}…)`, async (t) => {
      const { variables } = await world(t, { aheadMs, answer: checking(aheadMs, name, message) });
      const failure = await failureOf({ KINESIS_TARGET: 'aws' }, { ...variables, AWS_DISABLE_CLOCK_SKEW_CORRECTION: 'true' });
      assert.equal(failure?.state, 'clock_skew', JSON.stringify(failure));
      assert.match(failure.hint, /timedatectl/);
      // With the SDK's correction, whether it helps at the first attempt or at the next one, readings are shipped.
      assert.equal(await failureOf({ KINESIS_TARGET: 'aws' }, variables, 2), undefined);
    });

for (const [words, aheadMs, certificate] of [
  ['two years behind: the certificate is not yet valid', 730 * DAY_MS, { from: new Date(Date.now() + 700 * DAY_MS) }],
  [
    'two years ahead: the certificate has expired',
    -730 * DAY_MS,
    { from: new Date(Date.now() - 800 * DAY_MS), to: new Date(Date.now() - 700 * DAY_MS) },
  ],
] as const)
  test(`a clock that is ${words}, which is clock_skew by the time of the server`, async (t) => {
    const { variables, aws } = await world(t, { aheadMs, certificate, answer: stored });
    const failure = await failureOf({ KINESIS_TARGET: 'aws' }, variables);
    assert.equal(failure?.state, 'clock_skew', JSON.stringify(failure));
    assert.match(
      failure.detail,
      new RegExp(`^this box is 730 days ${aheadMs > 0 ? 'behind' : 'ahead of'} the other side: CERT_`),
    );
    // Who asks for the time sends nothing else.
    assert.deepEqual(
      aws.requests.map(({ headers, body }) => [headers.authorization, body]),
      [[undefined, '']],
    );
  });

test("a certificate that is outdated while the clocks agree is the endpoint's fault", async (t) => {
  for (const certificate of [
    { from: new Date(Date.now() + DAY_MS) },
    { from: new Date(Date.now() - 3 * DAY_MS), to: new Date(Date.now() - DAY_MS) },
  ]) {
    const { variables } = await world(t, { certificate, answer: stored });
    const failure = await failureOf({ KINESIS_TARGET: 'aws' }, variables);
    assert.equal(failure?.state, 'unreachable', JSON.stringify(failure));
    assert.match(failure.detail, /^CERT_(NOT_YET_VALID|HAS_EXPIRED) /);
  }
});

test('credentials that a program prints expired are clock_skew if the clock is ahead, else credentials_expired', async (t) => {
  for (const [aheadMs, state] of [
    [-3 * 60 * MINUTE_MS, 'clock_skew'],
    [0, 'credentials_expired'],
  ] as const) {
    const { variables, folder } = await world(t, { aheadMs, answer: stored });
    const expiration = new Date(Date.now() - 60 * MINUTE_MS).toISOString();
    const credentials = { Version: 1, AccessKeyId: 'A', SecretAccessKey: 'B', SessionToken: 'C', Expiration: expiration };
    writeFileSync(path.join(folder, 'program'), `#!/bin/sh\necho '${JSON.stringify(credentials)}'\n`);
    chmodSync(path.join(folder, 'program'), 0o755);
    writeFileSync(path.join(folder, 'config'), `[default]\ncredential_process = ${folder}/program\n`);
    const keys = { AWS_ACCESS_KEY_ID: undefined, AWS_SECRET_ACCESS_KEY: undefined, AWS_CONFIG_FILE: path.join(folder, 'config') };
    const failure = await failureOf({ KINESIS_TARGET: 'aws' }, { ...variables, ...keys });
    assert.equal(failure?.state, state, JSON.stringify(failure));
    assert.match(
      failure.detail,
      state === 'clock_skew' ? /^this box is 3 h ahead of the other side: credential_process/ : /^credential_process/,
    );
  }
});

test('a token that the stream calls expired is clock_skew only if the clocks differ', async (t) => {
  for (const [aheadMs, state] of [
    [2 * DAY_MS, 'clock_skew'],
    [0, 'credentials_expired'],
  ] as const) {
    const { variables } = await world(t, {
      aheadMs,
      answer: (_, response) => {
        response.setHeader('content-type', 'application/x-amz-json-1.1');
        response
          .writeHead(400)
          .end(
            JSON.stringify({ __type: 'ExpiredTokenException', message: 'The security token included in the request is expired' }),
          );
        return true;
      },
    });
    assert.equal((await failureOf({ KINESIS_TARGET: 'aws' }, variables))?.state, state);
  }
});

test('a wrong secret with a right clock stays unauthorized', async (t) => {
  const { variables } = await world(t, {
    answer: (_, response) => {
      response.setHeader('content-type', 'application/x-amz-json-1.1');
      response
        .writeHead(400)
        .end(JSON.stringify({ __type: 'InvalidSignatureException', message: 'The request signature does not match.' }));
      return true;
    },
  });
  assert.equal((await failureOf({ KINESIS_TARGET: 'aws' }, variables))?.state, 'unauthorized');
});

test('a role that STS refuses because of the clock is clock_skew as well', async (t) => {
  const answer: AwsOptions['answer'] = (_, response) => {
    response.setHeader('content-type', 'text/xml');
    response
      .writeHead(403)
      .end(
        '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>SignatureDoesNotMatch</Code>' +
          '<Message>Signature expired: 20200101T000000Z is now earlier than 20200101T001000Z</Message></Error></ErrorResponse>',
      );
    return true;
  };
  const { variables, folder } = await world(t, { aheadMs: DAY_MS, answer });
  writeFileSync(
    path.join(folder, 'config'),
    '[default]\nrole_arn = arn:aws:iam::123456789012:role/box\nsource_profile = keys\n' +
      '[profile keys]\naws_access_key_id = AKIDEXAMPLE12345\naws_secret_access_key = secret\n',
  );
  const keys = { AWS_ACCESS_KEY_ID: undefined, AWS_SECRET_ACCESS_KEY: undefined, AWS_CONFIG_FILE: path.join(folder, 'config') };
  const failure = await failureOf({ KINESIS_TARGET: 'aws' }, { ...variables, ...keys });
  assert.equal(failure?.state, 'clock_skew', JSON.stringify(failure));
  assert.match(failure.detail, /role of the profile default/);
});
