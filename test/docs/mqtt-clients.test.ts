/** docs/mqtt-clients.md: its examples work with the clients themselves, and each mistake in its table is what the log says. */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { connectAsync, type IClientOptions, type MqttClient } from 'mqtt';
import { makeAuthority } from '../support/certificates.ts';
import { cannotRun } from '../support/cannot-run.ts';
import { eventually } from '../support/eventually.ts';
import { pythonWith } from '../support/python-venv.ts';
import { readSource } from '../support/source-tree.ts';
import { tempDir } from '../support/temp-dir.ts';
import { startGateway, type TestGateway } from '../gateway/support/gateway.ts';

const run = promisify(execFile);
const page = readSource('docs/mqtt-clients.md');
const PASSWORD = 'secret';
const USERS: NonNullable<Parameters<typeof startGateway>[2]> = {
  ops: { password: PASSWORD, operator: true },
  'my-app': { password: PASSWORD, publish: ['hr/Bike1/bpm'] },
};

/** The examples under a heading. */
function examples(heading: string): string[] {
  const section = page.slice(page.indexOf(`## ${heading}\n`)).split('\n## ')[0] ?? '';
  return [...section.matchAll(/```[a-z]+\n(.*?)```/gs)].map(([, code = '']) => code);
}

/** A client that publishes what a strap and a service publish, again and again, until the test ends. */
async function keepPublishing(t: TestContext, gateway: TestGateway): Promise<void> {
  const bridge = await asService(gateway);
  const timer = setInterval(() => {
    bridge.publish('hr/polar-h10-a1b2c3/bpm', '{"heart_rate":72}');
    bridge.publish('edge/test-box/person/polar-h10-a1b2c3', '{"name":"Anna","max_heart_rate":null}');
  }, 100);
  t.after(() => {
    clearInterval(timer);
    bridge.end(true);
  });
}
const asService = async (gateway: TestGateway): Promise<MqttClient> =>
  await connectAsync(`mqtt://127.0.0.1:${gateway.ports.mqtt}`, {
    username: 'ble-bridge',
    password: gateway.keyOf('ble-bridge'),
    protocolVersion: 4,
    reconnectPeriod: 0,
  });

interface Ended {
  code: number | null;
  output: string;
}

/** Runs a program until its output matches, or for 5 s if nothing is expected. Undefined: it is not installed. */
async function runUntil(t: TestContext, program: string, args: readonly string[], expected?: RegExp): Promise<Ended | undefined> {
  const child = spawn(program, args);
  t.after(() => child.kill('SIGKILL'));
  const state: { output: string; code?: number | null; isMissing: boolean } = { output: '', isMissing: false };
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text: Buffer) => (state.output += text.toString()));
  child.on('error', () => (state.isMissing = true));
  child.on('close', (code) => (state.code = code));
  await eventually(() => state.isMissing || state.code !== undefined || expected?.test(state.output) === true, {
    withinMs: 20_000,
    what: `${program} ${args.join(' ')} printed ${state.output}`,
  });
  child.kill();
  return state.isMissing ? undefined : { code: state.code ?? null, output: state.output };
}

/** The words of a documented command, on the ports of this gateway. */
function wordsOf(command: string, gateway: TestGateway, caFile = ''): string[] {
  const ports: Record<string, number> = { '1883': gateway.ports.mqtt, '8883': gateway.ports.mqtts };
  return command
    .trim()
    .split(' ')
    .map((word) => (word === 'ca.pem' ? caFile : String(ports[word] ?? word.replaceAll("'", ''))));
}

async function withTls(t: TestContext): Promise<{ gateway: TestGateway; caFile: string }> {
  const { caFile, certFile, keyFile } = makeAuthority(tempDir(t));
  return { caFile, gateway: await startGateway(t, { MQTT_TLS_CERT_FILE: certFile, MQTT_TLS_KEY_FILE: keyFile }, USERS) };
}

test('the mosquitto_sub examples print everything to the operator, and readings through TLS', async (t) => {
  const { gateway, caFile } = await withTls(t);
  await keepPublishing(t, gateway);
  const [everything = '', byTls = ''] = examples('mosquitto_sub, mosquitto_pub');
  const [program = '', ...args] = wordsOf(everything, gateway);
  const all = await runUntil(t, program, args, /^edge\/test-box\/person\/polar[^]*^hr\/polar/m);
  if (all === undefined) return cannotRun(t, 'mosquitto_sub is not installed');
  assert.match(all.output, /^hr\/polar-h10-a1b2c3\/bpm /m);
  const [, ...tlsArgs] = wordsOf(byTls, gateway, caFile);
  assert.match((await runUntil(t, program, tlsArgs, /heart_rate/))?.output ?? '', /^\{"heart_rate":72\}$/m);
});

test('the paho example prints readings, and ends if the filter is not granted', async (t) => {
  const python = await pythonWith('paho', ['paho-mqtt==2.1.0']);
  if (python === undefined) return cannotRun(t, 'paho-mqtt cannot be installed');
  const gateway = await startGateway(t, {}, USERS);
  await keepPublishing(t, gateway);
  const [code = ''] = examples('paho for Python');
  const script = code.replace('1883', String(gateway.ports.mqtt));
  const reads = await runUntil(t, python, ['-c', script], /^hr\//m);
  assert.match(reads?.output ?? '', /^hr\/polar-h10-a1b2c3\/bpm \{"heart_rate":72\}$/m);
  const refused = await runUntil(t, python, ['-c', script.replace('"ops"', '"my-app"')]);
  assert.deepEqual([refused?.code, refused?.output.trim()], [1, 'no right to this filter']);
});

/** As these programs connect, which use MQTT.js: with the settings that the page names. */
async function mqttJs(gateway: TestGateway, options: IClientOptions, filters: readonly string[]): Promise<(number | string)[]> {
  const client = await connectAsync(`mqtt://127.0.0.1:${gateway.ports.mqtt}`, { reconnectPeriod: 0, ...options });
  try {
    return await Promise.all(
      filters.map(async (filter) => {
        const granted = await client.subscribeAsync(filter, { qos: 0 }).catch((error: unknown) => String(error));
        return typeof granted === 'string' ? granted : (granted[0]?.qos ?? -1);
      }),
    );
  } finally {
    await client.endAsync(true);
  }
}

test('the subscriptions of MQTT Explorer are granted to the operator, and are an error for others', async (t) => {
  const gateway = await startGateway(t, {}, USERS);
  // backend/src/DataSource/MqttSource.ts and app/src/model/ConnectionOptions.ts of MQTT Explorer.
  const filters = ['#', '$SYS/#'];
  const options = { resubscribe: false, password: PASSWORD, clientId: 'mqtt-explorer-1' };
  assert.deepEqual(await mqttJs(gateway, { ...options, username: 'ops' }, filters), [0, 0]);
  for (const refusal of await mqttJs(gateway, { ...options, username: 'my-app' }, filters))
    assert.match(String(refusal), /Error/);
});

test('the Node-RED flow connects and subscribes with its settings', async (t) => {
  const gateway = await startGateway(t, {}, USERS);
  const [flow = ''] = examples('Node-RED');
  const [broker = {}, input = {}] = JSON.parse(flow) as Record<string, unknown>[];
  // nodes/core/network/10-mqtt.js of Node-RED: these become options of MQTT.js.
  const protocolVersion = Number(broker['protocolVersion']);
  assert.equal(protocolVersion, 4);
  const options = { protocolVersion, clientId: String(broker['clientid']), clean: broker['cleansession'] === true } as const;
  assert.deepEqual(await mqttJs(gateway, options, [String(input['topic'])]), [0]);
});

/** What is done, and what the log has to say; `fields` of the line. */
const MISTAKES: readonly {
  what: string;
  args: readonly string[];
  /** Of the program's exit; any of these. */
  codes: readonly number[];
  says: RegExp;
  line: Record<string, unknown>;
  message: RegExp;
}[] = [
  {
    what: 'MQTT 5',
    args: ['mosquitto_sub', '-V', '5', '-i', 'kitchen', '-t', 'hr/#', '-W', '5'],
    codes: [132],
    says: /unsupported protocol version/i,
    line: { event: 'mqtt5_refused', client_id: 'kitchen' },
    message: /set it to MQTT 3\.1\.1/,
  },
  {
    what: 'a wrong password',
    args: ['mosquitto_sub', '-u', 'ops', '-P', 'wrong', '-t', 'hr/#', '-W', '5'],
    codes: [5],
    says: /not authorised/i,
    line: { event: 'limit_breached', limit: 'login', user: 'ops' },
    message: /wrong name or password/,
  },
  {
    what: 'a filter without the right',
    args: ['mosquitto_sub', '-u', 'my-app', '-P', PASSWORD, '-t', 'hr/#', '-W', '5'],
    codes: [0],
    says: /All subscription requests were denied/,
    line: { event: 'limit_breached', limit: 'subscribe_right', user: 'my-app', filter: 'hr/#' },
    message: /no right to this filter/,
  },
  {
    what: 'a topic without the right',
    args: ['mosquitto_pub', '-u', 'my-app', '-P', PASSWORD, '-q', '1', '-t', 'hr/Bike2/bpm', '-m', '72'],
    codes: [7],
    says: /connection was lost/i,
    line: { event: 'limit_breached', limit: 'publish_right', user: 'my-app', topic: 'hr/Bike2/bpm' },
    message: /no right to publish this topic/,
  },
  {
    what: 'the same mistake of another user, which has a line of its own',
    args: ['mosquitto_pub', '-u', 'ops', '-P', PASSWORD, '-q', '1', '-t', 'hr/Bike3/bpm', '-m', '72'],
    codes: [7],
    says: /connection was lost/i,
    line: { event: 'limit_breached', limit: 'publish_right', user: 'ops', topic: 'hr/Bike3/bpm' },
    message: /no right to publish this topic/,
  },
  {
    what: 'a will under hr/',
    args: ['mosquitto_sub', '-u', 'my-app', '-P', PASSWORD, '-t', 'hr/#', '--will-topic', 'hr/Bike1/bpm', '--will-payload', '0'],
    codes: [5],
    says: /not authorised/i,
    line: { event: 'limit_breached', limit: 'will_reading', user: 'my-app' },
    message: /its will is under hr\//,
  },
  {
    what: 'TLS on the port without TLS',
    args: ['mosquitto_sub', '--capath', '/etc/ssl/certs', '-t', 'hr/#', '-W', '5'],
    // It depends on whether the connection is closed before or after its first read.
    codes: [8, 1],
    says: /TLS error/,
    line: { event: 'limit_breached', limit: 'protocol' },
    message: /does not speak MQTT 3\.1\.1/,
  },
];

test('each mistake that the page lists ends as it says, and is named in the log', async (t) => {
  const gateway = await startGateway(t, {}, USERS);
  if (
    await run('mosquitto_sub', ['--help']).then(
      () => false,
      (error: { code?: unknown }) => error.code === 'ENOENT',
    )
  )
    return cannotRun(t, 'mosquitto_sub is not installed');
  const table = page.slice(page.indexOf('## What goes wrong'));
  for (const { what, args, codes, says, line, message } of MISTAKES) {
    const [program = '', ...rest] = args;
    const before = gateway.lines.length;
    const ended = await runUntil(t, program, ['-p', String(gateway.ports.mqtt), ...rest], codes.includes(132) ? says : undefined);
    assert.match(ended?.output ?? '', says, what);
    if (!codes.includes(132))
      assert.ok(codes.includes(Number(ended?.code)), `${what}: exit code ${ended?.code}: ${ended?.output}`);
    const warned = await eventually(() => gateway.lines.slice(before).find(({ level }) => level === 40), {
      what: `a line: ${what}`,
    });
    for (const [field, value] of Object.entries(line)) assert.equal(warned[field], value, `${what}: ${JSON.stringify(warned)}`);
    assert.match(String(warned['msg']), message, what);
    assert.ok(table.includes(String(line['limit'] ?? line['event'])), `the page does not list ${what}`);
  }
});
