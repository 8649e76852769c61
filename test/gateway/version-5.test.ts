/** A client of MQTT 5 gets the refusal of its own version, and is named once in the log. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { generate } from 'mqtt-packet';
import { eventually } from '../support/eventually.ts';
import { cannotRun } from '../support/cannot-run.ts';
import { pythonWith } from '../support/python-venv.ts';
import { startGateway, type TestGateway } from './support/gateway.ts';

const named = ({ lines }: TestGateway): unknown[] =>
  lines.filter(({ event }) => event === 'mqtt5_refused').map((line) => [line['client_id'], line['level']]);

/** What the broker answers to a CONNECT, until it closes the connection. */
async function answerTo(gateway: TestGateway, clientId: string, more: object = {}): Promise<Buffer> {
  const socket = connect(gateway.ports.mqtt, '127.0.0.1');
  const chunks: Buffer[] = [];
  socket.on('data', (chunk) => chunks.push(chunk));
  socket.on('error', () => undefined);
  socket.write(
    generate(
      { cmd: 'connect', protocolId: 'MQTT', protocolVersion: 5, clean: true, clientId, keepalive: 30, ...more },
      { protocolVersion: 5 },
    ),
  );
  await once(socket, 'close');
  return Buffer.concat(chunks);
}

test('the CONNACK is that of MQTT 5 with reason code 0x84, whatever the CONNECT asks for; the log names each client once', async (t) => {
  const gateway = await startGateway(t);
  const expected = Buffer.from([0x20, 3, 0, 0x84, 0]);
  for (let attempt = 0; attempt < 3; attempt += 1) assert.deepEqual(await answerTo(gateway, 'explorer'), expected);
  assert.deepEqual(await answerTo(gateway, '', { properties: { sessionExpiryInterval: 60, receiveMaximum: 20 } }), expected);
  const will = { topic: 'a', payload: Buffer.from('w'), qos: 0, retain: false, properties: { willDelayInterval: 5 } };
  assert.deepEqual(await answerTo(gateway, 'with-will', { will, username: 'anna', password: Buffer.from('x') }), expected);
  assert.deepEqual(named(gateway), [
    ['explorer', 40],
    ['', 40],
    ['with-will', 40],
  ]);
});

test('mosquitto_sub -V 5 reports the protocol version as the cause', async (t) => {
  if (spawnSync('mosquitto_sub', ['--help']).error !== undefined) return cannotRun(t, 'mosquitto_sub is not installed');
  const gateway = await startGateway(t);
  // It would try again for ever.
  const program = spawn('mosquitto_sub', [
    '-V',
    '5',
    '-p',
    String(gateway.ports.mqtt),
    '-i',
    'living-room',
    '-t',
    'hr/#',
    '-W',
    '10',
  ]);
  t.after(() => program.kill());
  let output = '';
  for (const stream of [program.stdout, program.stderr]) stream.on('data', (text: Buffer) => (output += text.toString()));
  await eventually(() => /unsupported protocol version/i.test(output), { what: 'the cause', withinMs: 15_000 });
  assert.deepEqual(named(gateway), [['living-room', 40]]);
});

test('paho with MQTT 5 gets the reason code', async (t) => {
  const python = await pythonWith('paho', ['paho-mqtt==2.1.0']);
  if (python === undefined) return cannotRun(t, 'no Python with paho');
  const gateway = await startGateway(t);
  const script = `import sys, paho.mqtt.client as mqtt
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="paho-5", protocol=mqtt.MQTTv5)
client.on_connect = lambda c, u, f, reason, p: (print(reason.value, reason), c.disconnect())
client.connect("127.0.0.1", int(sys.argv[1])); client.loop_forever(retry_first_connection=False)`;
  const program = spawn(python, ['-c', script, String(gateway.ports.mqtt)]);
  t.after(() => program.kill());
  let output = '';
  for (const stream of [program.stdout, program.stderr]) stream.on('data', (text: Buffer) => (output += text.toString()));
  await eventually(() => /^132 Unsupported protocol version/m.test(output), { what: 'the reason code', withinMs: 20_000 });
});
