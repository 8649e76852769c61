/** Other clients' readings all the way to the stream: the real gateway, forwarder and stream. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { connectAsync } from 'mqtt';
import { ForwarderService } from '../../../forwarder/service.ts';
import { GatewayService } from '../../../gateway/service.ts';
import { newUser, writeUsers } from '../../../gateway/users.ts';
import type { Config } from '../../../service/config/config.ts';
import { cannotRun } from '../../support/cannot-run.ts';
import { eventually } from '../../support/eventually.ts';
import { startLocalStream, type LocalStream } from '../../support/local-stream.ts';
import { pythonWith } from '../../support/python-venv.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { testConfig, testLog } from '../../support/test-config.ts';

const run = promisify(execFile);
const RIGHTS = { publish: ['hr/#'], subscribe: ['hr/#'] };

interface Pipeline {
  gateway: GatewayService;
  forwarder: ForwarderService;
  stream: LocalStream;
  config: Config;
  port: number;
}

async function startPipeline(t: TestContext): Promise<Pipeline> {
  const stream = await startLocalStream(t);
  const config = testConfig({ DATA_DIR: tempDir(t), LOCAL_KINESIS_PORT: String(stream.port) });
  writeUsers(config, { app: await newUser('pass-word', RIGHTS) });
  const gateway = new GatewayService({ config, log: testLog(config) });
  t.after(() => gateway.stop());
  await gateway.start();
  const forwarder = new ForwarderService({
    config: { ...config, MQTT_URL: `mqtt://127.0.0.1:${gateway.mqttPort}` },
    log: testLog(config),
  });
  t.after(() => forwarder.stop());
  await forwarder.start();
  return { gateway, forwarder, stream, config, port: gateway.mqttPort };
}

const timestampOf = (index: number): string => new Date(1_790_000_000_000 + index).toISOString();
const app = (port: number) =>
  connectAsync(`mqtt://127.0.0.1:${port}`, { username: 'app', password: 'pass-word', protocolVersion: 4, reconnectPeriod: 0 });

test('what MQTT.js publishes is in the stream once, with the identity of the gateway; refusals are dead letters', async (t) => {
  const { gateway, stream, port } = await startPipeline(t);
  const client = await app(port);
  t.after(() => client.endAsync(true));
  const payload = (index: number): string => JSON.stringify({ timestamp: timestampOf(index), heart_rate: 72 });
  await Promise.all(
    Array.from({ length: 900 }, (_, index) =>
      client.publishAsync(`hr/Bike${index % 3}/bpm`, payload(index), { qos: (index % 3) as 0 | 1 | 2 }),
    ),
  );
  await client.publishAsync('hr/Bike1/bpm', '{\n  "heart_rate": 73,\n  "note": "pretty\\nprinted"\n}', { qos: 1 });
  await client.publishAsync('hr/Bike1/bpm', '72 bpm', { qos: 1 });
  await client.publishAsync('hr/Bike1/bpm', Buffer.alloc(100_000, 'x'), { qos: 1 });
  const readings = await eventually(async () => {
    const all = await stream.readAll();
    return all.length >= 901 ? all : undefined;
  });
  assert.equal(readings.length, 901);
  assert.equal(new Set(readings.map(({ run, seq }) => `${run} ${seq}`)).size, 901);
  assert.equal(new Set(readings.map(({ run }) => run)).size, 2, 'QoS 0 has a run of its own');
  assert.deepEqual(
    new Set(readings.filter(({ heart_rate: bpm }) => bpm === 72).map(({ timestamp }) => timestamp)),
    new Set(Array.from({ length: 900 }, (_, index) => timestampOf(index))),
  );
  const pretty = new Map(Object.entries(readings.find(({ heart_rate: bpm }) => bpm === 73) ?? {}));
  assert.equal(pretty.get('original'), '{\n  "heart_rate": 73,\n  "note": "pretty\\nprinted"\n}');
  assert.deepEqual([pretty.get('device'), pretty.get('gateway'), pretty.get('publisher')], ['Bike1', 'test-box', 'app']);
  assert.deepEqual(gateway.adoption.refused, { payload_not_json: 1, payload_too_large: 1 });
  assert.equal(gateway.adoption.held, 0);
});

test('in calm a PUBACK comes within the commit interval and 20 ms (p50)', async (t) => {
  const { config, port } = await startPipeline(t);
  const client = await app(port);
  t.after(() => client.endAsync(true));
  const latencies: number[] = [];
  for (let index = 0; index < 50; index += 1) {
    const sentAt = performance.now();
    await client.publishAsync('hr/Bike1/bpm', JSON.stringify({ timestamp: timestampOf(index), heart_rate: 72 }), { qos: 1 });
    latencies.push(performance.now() - sentAt);
    await sleep(20);
  }
  latencies.sort((a, b) => a - b);
  const p50 = latencies[25] ?? Number.POSITIVE_INFINITY;
  t.diagnostic(`PUBACK p50 ${p50.toFixed(1)} ms, p98 ${latencies[48]?.toFixed(1)} ms`);
  assert.ok(p50 < config.QUEUE_COMMIT_INTERVAL_MS + 20, `${p50} ms`);
});

test('mosquitto_pub ends when its reading is stored, not before', async (t) => {
  const { port, stream, forwarder } = await startPipeline(t);
  const publish = async (heartRate: number): Promise<void> => {
    await run('mosquitto_pub', [
      '-p',
      String(port),
      '-u',
      'app',
      '-P',
      'pass-word',
      '-q',
      '1',
      '-t',
      'hr/Bike1/bpm',
      '-m',
      String(heartRate),
    ]);
  };
  try {
    await publish(71);
  } catch (error) {
    if ((error as { code?: string }).code === 'ENOENT') return cannotRun(t, 'mosquitto_pub is not installed');
    throw error;
  }
  await eventually(async () => (await stream.readAll()).some(({ heart_rate: bpm }) => bpm === 71));
  await forwarder.stop();
  let ended = false;
  const waiting = publish(73).then(() => void (ended = true));
  waiting.catch(() => {});
  await sleep(1500);
  assert.equal(ended, false, 'the forwarder is stopped: nothing is stored');
});

test('paho gets a PUBACK for each stored reading', async (t) => {
  const python = await pythonWith('paho', ['paho-mqtt==2.1.0']);
  if (python === undefined) return cannotRun(t, 'paho-mqtt cannot be installed');
  const { port, stream } = await startPipeline(t);
  const script = `
import paho.mqtt.client as mqtt, json, datetime
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="py")
client.username_pw_set("app", "pass-word")
client.connect("127.0.0.1", ${port})
client.loop_start()
sent = []
for i in range(300):
    at = datetime.datetime.fromtimestamp(1790000000 + i, datetime.timezone(datetime.timedelta(hours=2)))
    sent.append(client.publish("hr/Bike1/bpm", json.dumps({"timestamp": at.isoformat(), "heart_rate": 72}), qos=1 + i % 2))
for info in sent:
    info.wait_for_publish(20)
print(sum(info.is_published() for info in sent))
client.disconnect()
`;
  const { stdout } = await run(python, ['-c', script]);
  assert.equal(stdout.trim(), '300');
  const stored = await eventually(async () => {
    const all = await stream.readAll();
    return all.length >= 300 ? all : undefined;
  });
  assert.deepEqual(
    stored.map(({ timestamp }) => timestamp).sort(),
    Array.from({ length: 300 }, (_, index) => new Date((1_790_000_000 + index) * 1000).toISOString()).sort(),
  );
});
