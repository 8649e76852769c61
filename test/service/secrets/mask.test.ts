/** Whatever a password is, no output has it: not as it was written, and in no other spelling. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { pino } from 'pino';
import { failureText } from '../../../cli/frame/failures.ts';
import { fail } from '../../../cli/doctor/check-line.ts';
import { classify } from '../../../forwarder/sink/failure-classes.ts';
import { effectiveSettings, readConfig } from '../../../service/config/config.ts';
import { HrError } from '../../../service/errors/errors.ts';
import { failing } from '../../../service/health/check-report.ts';
import { maskLine, maskTexts } from '../../../service/secrets/mask-fields.ts';
import { maskSecrets, registerEnvironment, registerSecret } from '../../../service/secrets/mask.ts';
import { maskUrl } from '../../../service/secrets/url-credentials.ts';

/** Reserved characters of URLs, quotes, escapes, spaces and other scripts, beside letters and digits. */
const password = fc.string({
  unit: fc.constantFrom(...'@:/#?%&=+;,!$\'"\\`<>{}[]()|^~* .-_aZ0ü€漢'.split(''), '😀', '%40', '%2F', '\\n', 'secret'),
  minLength: 6,
  maxLength: 40,
});

/** Every text that could carry the password of an environment, as the product makes it. */
function outputsOf(environment: Record<string, string>, plain: string): string[] {
  const outputs: string[] = [];
  const caught = (work: () => unknown): void => {
    try {
      outputs.push(inspect(work()));
    } catch (error) {
      // On a screen, with the stack traces of all causes.
      outputs.push(failureText(error, { verbose: true }), maskSecrets(inspect(error)));
      const lines: string[] = [];
      const log = pino({ base: null }, { write: (line: string) => void lines.push(maskLine(line)) });
      log.fatal({ err: error, more: { deep: [{ environment }] } }, `failed: ${inspect(error)}`);
      for (const line of lines) JSON.parse(line);
      outputs.push(...lines);
    }
  };
  caught(() => effectiveSettings(environment));
  caught(() => effectiveSettings({ ...environment, MQTT_URL: ` ${environment['MQTT_URL']?.replace('://', '/')}` }));
  caught(() => readConfig({ ...environment, KINESIS_TARGET: `http:/${environment['MQTT_URL']}` }));
  registerEnvironment(environment);
  for (const url of Object.values(environment)) {
    // What libraries do with it.
    caught(() => {
      throw new TypeError(`Invalid URL: ${url}`, { cause: new URL(`not a url ${url}`) });
    });
    caught(() => {
      throw new HrError('command_failed', { operation: `ask ${url}`, detail: `cannot connect to ${url}` });
    });
    outputs.push(JSON.stringify(failing('broker', 'broker_unreachable', `no answer from ${url}`)));
    outputs.push(JSON.stringify([fail('stream', `found ${url}`, 'none')]));
    outputs.push(JSON.stringify({ uplink: { reason: url, detail: plain }, checks: [{ reason: plain }] }, maskTexts));
    outputs.push(classify(new Error(`${url} refused`)).detail);
  }
  for (const text of [plain, encodeURIComponent(plain), JSON.stringify(plain), Buffer.from(`user:${plain}`).toString('base64')])
    outputs.push(
      maskSecrets(`refused (${text}), tried again`),
      maskLine(`${JSON.stringify({ msg: `got ${text}`, nested: [text] })}\n`),
    );
  return outputs;
}

test('no output has the password of a URL, whatever it is and however it is written', () => {
  const innocent = outputsOf(
    { MQTT_URL: 'mqtt://broker.example:1883', KINESIS_TARGET: 'http://127.0.0.1:4567', HTTPS_PROXY: 'http://proxy.example/' },
    '',
  ).join('\n');
  fc.assert(
    fc.property(password, fc.boolean(), (secret, encode) => {
      fc.pre(secret.trim() === secret && !/^[*]*$/.test(secret));
      const written = encode ? encodeURIComponent(secret) : secret;
      const environment = {
        MQTT_URL: `mqtt://user:${written}@broker.example:1883`,
        KINESIS_TARGET: `http://user:${written}@127.0.0.1:4567`,
        HTTPS_PROXY: `http://user:${written}@proxy.example:3128/`,
      };
      fc.pre(!innocent.includes(secret) && !innocent.includes(written));
      for (const output of outputsOf(environment, secret))
        for (const spelling of new Set([secret, written, encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1)]))
          assert.ok(!output.includes(spelling), `${spelling} is in ${output}`);
    }),
    { numRuns: 60 },
  );
});

test('a URL without an @, or with more than one, shows its host at most', () => {
  for (const [url, masked] of [
    ['mqtt://host:1883', 'mqtt://host:1883'],
    ['wss://host/mqtt', 'wss://host/mqtt'],
    ['mqtt://[::1]:1883', 'mqtt://[::1]:1883'],
    ['mqtt://user:secret', 'mqtt://***'],
    ['mqtt://user:12secret', 'mqtt://***'],
    ['  mqtt://user:secret@host', 'mqtt://***@host'],
    ['mqtts://a:b@c@d@host', 'mqtts://***@host'],
    ['mqtt+tls://user:secret@host', 'mqtt+tls://***@host'],
    ['user:secret@host', 'user:***@host'],
    ['mqtt:/user:secret@host', 'mqtt:/***@host'],
    ['mqtt://us\ner:sec\nret@host', 'mqtt://***@host'],
    ['local', 'local'],
  ] as const)
    assert.equal(maskUrl(url), masked, url);
});

test('credentials of others are recognised by their form', () => {
  for (const [text, secret] of [
    ['GET / HTTP/1.1\r\nAuthorization: Bearer abcDEF123456\r\n', 'abcDEF123456'],
    ['authorization: Basic dXNlcjpwYXNz', 'dXNlcjpwYXNz'],
    ['{"authorization":"AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/2026, Signature=abcdef0123"}', 'abcdef0123'],
    ['the canonical string is x-amz-security-token:IQoJb3JpZ2luX2VjEA', 'IQoJb3JpZ2luX2VjEA'],
    ['key AKIAIOSFODNN7EXAMPLE is not known', 'AKIAIOSFODNN7EXAMPLE'],
    ['ASIAIOSFODNN7EXAMPLE', 'ASIAIOSFODNN7EXAMPLE'],
    ['aws_secret_access_key = wJalrXUtnFEMI/K7MDENG', 'wJalrXUtnFEMI/K7MDENG'],
    ["{ secretAccessKey: 'wJalrXUtnFEMI/K7MDENG' }", 'wJalrXUtnFEMI/K7MDENG'],
    ['https://host/?X-Amz-Signature=0123abcd&x=1', '0123abcd'],
    ['cookie: hr_gateway_session=abcdef; other=1', 'abcdef'],
    ['set-cookie: hr_gateway_session=abcdef; Path=/', 'abcdef'],
    ['ftp://name:word@host/file', 'word'],
    ['-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n-----END EC PRIVATE KEY-----', 'MHcCAQEE'],
  ] as const) {
    assert.ok(!maskSecrets(text).includes(secret), maskSecrets(text));
    const line = maskLine(`${JSON.stringify({ level: 'warn', event: 'x', deep: { deeper: { text } } })}\n`);
    assert.ok(!line.includes(secret), line);
    assert.equal((JSON.parse(line) as { event: string }).event, 'x');
  }
});

test('a field named like a credential is hidden at every depth', () => {
  for (const name of ['password', 'token', 'key', 'secretAccessKey', 'sessionToken', 'authorization', 'cookie', 'Set-Cookie']) {
    const line = maskLine(`${JSON.stringify({ a: { b: { c: { d: { [name]: 'planted' } } } } })}\n`);
    assert.ok(!line.includes('planted'), line);
  }
});

test('ordinary texts stay as they are', () => {
  registerSecret('test');
  for (const text of [
    'listening on http://127.0.0.1:8080/',
    'cannot connect to mqtt://gateway:1883: ECONNREFUSED',
    'the latest contest',
    'GATEWAY_NAME: must match ^[a-z0-9-]{1,64}$',
    'basic settings are in docs/settings.md',
    'Unexpected token } in JSON at position 5',
  ])
    assert.equal(maskSecrets(text), text);
});
