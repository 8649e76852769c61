/** Plants secrets wherever the product handles any, then searches every log line, answer, MQTT message and screen for them. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { connectAsync } from 'mqtt';
import { newUser, writeUsers } from '../../../gateway/users.ts';
import { eventually } from '../../support/eventually.ts';
import { productArgs } from '../../support/product-process.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { startOneProcess } from '../pipeline/support/one-process.ts';

const PLANTED = {
  userPassword: 'PLANTED-user:pass@word/7Q#?%&',
  wrongPassword: 'PLANTED-wrong-password-7Q',
  wrongToken: 'PLANTED-wrong-token-7Q',
  accessKey: 'PLANTEDACCESSKEYID7Q',
  secretKey: 'PLANTED/secret/access/key/7Q',
  sessionToken: 'PLANTED-session-token-7Q',
  endpointPassword: 'PLANTED:endpoint@pass/word#7Q?100%',
};

test('no planted secret, key or token appears in any log line, answer, MQTT message or screen at level trace', async (t) => {
  const folder = tempDir(t);
  writeUsers({ DATA_DIR: folder }, { anna: await newUser(PLANTED.userPassword, { publish: [], subscribe: ['hr/#'] }) });
  const environment = {
    LOG_LEVEL: 'trace',
    SIMULATED_STRAPS: '1',
    BLE_SOURCE: 'simulated',
    ALLOW_TEST_READINGS: 'true',
    KINESIS_TARGET: `http://user:${PLANTED.endpointPassword}@127.0.0.1:1`,
    AWS_REGION: 'eu-west-1',
    AWS_ACCESS_KEY_ID: PLANTED.accessKey,
    AWS_SECRET_ACCESS_KEY: PLANTED.secretKey,
    AWS_SESSION_TOKEN: PLANTED.sessionToken,
  };
  const product = startOneProcess(t, folder, environment);
  const at = await product.addresses();
  const token = readFileSync(path.join(folder, 'token'), 'utf8').trim();
  const keys = readdirSync(path.join(folder, 'keys')).map((name) => readFileSync(path.join(folder, 'keys', name), 'utf8').trim());
  assert.ok(keys.length >= 4);

  // MQTT: all statuses, metrics and responses, while clients log in with right and wrong passwords.
  const messages: string[] = [];
  const url = `mqtt://127.0.0.1:${at.mqttPort}`;
  const reader = await connectAsync(url, {
    protocolVersion: 4,
    reconnectPeriod: 0,
    username: 'admin-api',
    password: readFileSync(path.join(folder, 'keys/admin-api'), 'utf8').trim(),
  });
  t.after(() => reader.end(true));
  reader.on('message', (topic, payload) => void messages.push(`${topic} ${payload.toString()}`));
  await reader.subscribeAsync(['hr/#', 'edge/+/+/status', 'edge/+/+/metrics', 'edge/+/+/response/+', 'homeassistant/#']);
  const anna = await connectAsync(url, {
    protocolVersion: 4,
    reconnectPeriod: 0,
    username: 'anna',
    password: PLANTED.userPassword,
  });
  await anna.endAsync();
  for (const username of ['anna', 'forwarder', 'nobody'])
    await assert.rejects(
      connectAsync(url, { protocolVersion: 4, reconnectPeriod: 0, username, password: PLANTED.wrongPassword }),
    );

  // HTTP: every documented route, without the token, with a wrong one and with the right one.
  const answers: string[] = [];
  const ask = async (method: string, target: string, headers: Record<string, string> = {}, body?: string): Promise<void> => {
    const abort = new AbortController();
    const answer = await fetch(`${at.admin}${target}`, {
      method,
      headers,
      signal: abort.signal,
      ...(body === undefined ? {} : { body }),
    });
    const text =
      target === '/events' ? Buffer.from((await answer.body?.getReader().read())?.value ?? []).toString() : await answer.text();
    answers.push(`${method} ${target} ${answer.status} ${JSON.stringify([...answer.headers])} ${text}`);
    abort.abort();
  };
  const description = (await (await fetch(`${at.admin}/openapi.json`)).json()) as {
    paths: Record<string, Record<string, object>>;
  };
  const json = { 'content-type': 'application/json' };
  for (const [target, methods] of Object.entries(description.paths))
    for (const method of Object.keys(methods))
      for (const authorization of [undefined, `Bearer ${PLANTED.wrongToken}`, `Bearer ${token}`]) {
        const body =
          method === 'post' ? JSON.stringify({ token: PLANTED.wrongToken, password: PLANTED.wrongPassword }) : undefined;
        await ask(
          method.toUpperCase(),
          target.replace('{id}', 'sim-1'),
          { ...(body === undefined ? {} : json), ...(authorization === undefined ? {} : { authorization }) },
          body,
        );
      }
  await ask('POST', '/login', json, JSON.stringify({ token }));
  await ask('GET', '/health?format=text', { cookie: `hr_gateway_token=${token}; hr_gateway_session=${PLANTED.wrongToken}` });
  await ask('GET', `/no-such-page`, { authorization: `Bearer ${token}` });
  await eventually(() => messages.some((message) => message.includes('/forwarder/status') && /unreachable|error/.test(message)));
  await eventually(() => messages.some((message) => message.includes('/forwarder/metrics')));

  // Screens.
  const screens = [['config'], ['doctor'], ['doctor', '--json'], ['tail', '--verbose']].map((args) => {
    const result = spawnSync(process.execPath, [...productArgs('cli/main'), ...args], {
      encoding: 'utf8',
      env: {
        PATH: process.env['PATH'],
        DATA_DIR: folder,
        MQTT_URL: `mqtt://anna:${PLANTED.userPassword}@127.0.0.1:${at.mqttPort}`,
        AWS_EC2_METADATA_DISABLED: 'true',
        ...environment,
      },
      timeout: 60_000,
    });
    return `${result.stdout}${result.stderr}`;
  });
  assert.match(screens[0] ?? '', /MQTT_URL\s+mqtt:\/\/\*\*\*@/);
  const output = product.output();
  assert.equal(await product.end(), 0);
  assert.match(output, /"event":"limit_breached".*"limit":"login"/);

  const places = {
    log: product.output(),
    answers: answers.join('\n'),
    messages: messages.join('\n'),
    screens: screens.join('\n'),
  };
  assert.ok(answers.length > 40 && messages.length > 10 && places.log.length > 1000);
  for (const [name, secret] of Object.entries({
    ...PLANTED,
    token,
    ...Object.fromEntries(keys.map((key, index) => [`key ${index}`, key])),
  }))
    for (const [place, text] of Object.entries(places)) {
      const found = text.indexOf(secret);
      // Nor a part of one, as a library divides it.
      assert.ok(!text.includes('PLANTED'), `a part of a secret is in the ${place}`);
      assert.equal(found, -1, `${name} is in the ${place}: ${text.slice(Math.max(0, found - 200), found + 40)}`);
    }
  for (const file of ['token', 'users.json', ...readdirSync(path.join(folder, 'keys')).map((name) => `keys/${name}`)])
    assert.equal(statSync(path.join(folder, file)).mode & 0o077, 0, file);
});
