import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { describe, test, type TestContext } from 'node:test';
import { readStatuses, serviceLines } from '../../../cli/doctor/service-lines.ts';
import { streamLines } from '../../../cli/doctor/stream-lines.ts';
import type { DoctorLine } from '../../../cli/doctor/check-line.ts';
import type { BridgeStatus } from '../../../contract/bridge-status.ts';
import type { ServiceStatus } from '../../../contract/service-status.ts';
import { serviceStatusTopic } from '../../../contract/topics.ts';
import { GatewayService } from '../../../gateway/service.ts';
import { connectAsync } from 'mqtt';
import { startOneProcess } from '../../system/pipeline/support/one-process.ts';
import { readOrCreateSecret } from '../../../service/storage/data-dir.ts';
import { eventually } from '../../support/eventually.ts';
import { startLocalStream } from '../../support/local-stream.ts';
import { startProduct } from '../../support/product-process.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { serviceStatus } from '../../support/messages.ts';
import { testConfig, testLog } from '../../support/test-config.ts';

const statusOf = (lines: readonly DoctorLine[], name: string): string | undefined =>
  lines.find((line) => line.name === name)?.status;

/** Runs the doctor as a process; returns its lines (with `--json`), its exit code and its output. */
async function doctor(
  t: TestContext,
  environment: Record<string, string>,
  ...args: string[]
): Promise<{ lines: DoctorLine[]; exitCode: number | string; output: string }> {
  const process = startProduct(t, 'cli/main', environment, { args: ['doctor', ...args] });
  let stdout = '';
  process.child.stdout?.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  const exitCode = await process.ended;
  await eventually(() => stdout !== '');
  return { lines: args.includes('--json') ? (JSON.parse(stdout) as DoctorLine[]) : [], exitCode, output: stdout };
}

describe('hr-gateway doctor', () => {
  test('with all services running every line is ok, and the exit code is 0', async (t) => {
    const folder = tempDir(t);
    const product = startOneProcess(t, folder, { BLE_SOURCE: 'simulated' });
    const { mqttPort, stream } = await product.addresses();
    const environment = {
      DATA_DIR: folder,
      BLE_SOURCE: 'simulated',
      MQTT_URL: `mqtt://127.0.0.1:${mqttPort}`,
      LOCAL_KINESIS_PORT: new URL(stream).port,
    };
    const { lines, exitCode } = await eventually(
      async () => {
        const result = await doctor(t, environment, '--json');
        return result.exitCode === 0 ? result : undefined;
      },
      { withinMs: 60_000, what: 'a doctor without a failing line' },
    );
    assert.equal(exitCode, 0);
    for (const name of [
      'clock',
      'disk',
      'broker',
      'gateway',
      'ble-bridge',
      'forwarder',
      'admin-api',
      'radio',
      'queue',
      'stream',
      'AWS credentials',
      'stream limits',
    ])
      assert.equal(statusOf(lines, name), 'ok', `${name} in ${JSON.stringify(lines)}`);
    assert.match(
      lines.find(({ name }) => name === 'stream limits')?.found ?? '',
      /1 open shard: 1000 records\/s and 1 MB\/s in; records up to \d+ KiB, kept 24 h/,
    );
    const printed = await doctor(t, environment);
    assert.equal(printed.exitCode, 0);
    assert.equal(printed.output.split('\n').filter((line) => /^( ok |warn|FAIL) {2}\S/.test(line)).length, lines.length);
  });

  test('with no service running each line that is not ok has advice, and the exit code is 1', async (t) => {
    const folder = tempDir(t);
    readOrCreateSecret(testConfig({ DATA_DIR: folder }), 'admin-api');
    const { lines, exitCode } = await doctor(t, { DATA_DIR: folder, MQTT_URL: 'mqtt://127.0.0.1:9' }, '--json');
    assert.equal(exitCode, 1);
    assert.match(lines.find(({ name }) => name === 'broker')?.found ?? '', /does not answer/);
    for (const { name, status, advice } of lines) assert.equal(advice === '', status === 'ok', name);
  });

  test('before the first start the doctor asks for one, and writes nothing into DATA_DIR', async (t) => {
    const folder = tempDir(t);
    const { lines, exitCode } = await doctor(t, { DATA_DIR: folder, MQTT_URL: 'mqtt://127.0.0.1:9' }, '--json');
    assert.equal(exitCode, 1);
    assert.match(lines.find(({ name }) => name === 'broker')?.advice ?? '', /set DATA_DIR to the folder that they use/);
    assert.deepEqual(readdirSync(folder), []);
  });

  test('a faulty setting ends the doctor with exit code 2', async (t) => {
    const process = startProduct(t, 'cli/main', { BLE_ADAPTER: 'bluetooth' }, { args: ['doctor'] });
    assert.equal(await process.ended, 2);
    assert.match(process.output(), /BLE_ADAPTER: must be hci0/);
  });
});

describe('the statuses of services as doctor lines', () => {
  const since = new Date().toISOString();
  const radio: BridgeStatus['radio'] = {
    adapter: 'hci0',
    state: 'powered_on',
    advertisements_per_minute: 30,
    connects: 4,
    disconnects: { out_of_range: 2 },
    reconnect_ms_p50: 800,
    reconnect_ms_p95: 2100,
    straps_limit: null,
  };
  const bridge = (
    changed: Partial<BridgeStatus['radio']> = {},
    status: Partial<ServiceStatus> = {},
  ): Map<string, ServiceStatus> =>
    new Map([
      [
        'ble-bridge',
        {
          service: 'ble-bridge',
          state: 'online',
          since,
          version: '1',
          as_of: new Date().toISOString(),
          checks: [],
          bridge: {
            source: 'noble',
            run: 'a',
            radio: { ...radio, ...changed },
            outbox: { held: 0, spilled: 0, spill_bytes: 0, dropped: 0, last_seq: 0, stored_seq: 0 },
          },
          ...status,
        },
      ],
    ]);
  const line = (statuses: Map<string, ServiceStatus>, name: string): DoctorLine | undefined =>
    serviceLines(testConfig({}), statuses).find((candidate) => candidate.name === name);

  test('the radio line has advertisements, connects, disconnects by reason and times to reconnect', () => {
    const well = line(bridge(), 'radio');
    assert.equal(well?.status, 'ok');
    assert.match(
      well.found,
      /hci0 powered_on, 30 advertisements in the last minute, 4 connects \(ended: 2 out_of_range\), reconnects in 800 ms \(p50\)/,
    );
    assert.match(well.found, /\(p50\), 2100 ms \(p95\)/);
    assert.equal(line(bridge({ state: 'powered_off' }), 'radio')?.status, 'fail');
    assert.match(line(bridge({ straps_limit: 7 }), 'radio')?.found ?? '', /supports 7 straps at once/);
    assert.equal(line(bridge({ advertisements_per_minute: 0, connects: 0 }), 'radio')?.status, 'warn');
  });

  test('a service that is offline, silent or has a failing check fails, with the hint of its check', () => {
    assert.equal(line(bridge(), 'ble-bridge')?.status, 'ok');
    assert.equal(line(bridge({}, { state: 'offline' }), 'ble-bridge')?.status, 'fail');
    assert.match(
      line(bridge({}, { as_of: new Date(Date.now() - 60_000).toISOString() }), 'ble-bridge')?.found ?? '',
      /last status 60 s ago/,
    );
    const checks = [
      { name: 'radio', status: 'fail' as const, since, code: 'radio_stuck', reason: 'no sign of life', hint: 'Restart the box.' },
    ];
    assert.deepEqual(line(bridge({}, { checks }), 'ble-bridge'), {
      name: 'ble-bridge',
      status: 'fail',
      found: 'radio: radio_stuck: no sign of life',
      advice: 'Restart the box.',
    });
    assert.equal(line(new Map(), 'forwarder')?.status, 'fail');
  });

  test('a gateway that never reported fails on our own broker; on an external one no gateway is expected', () => {
    const lines = (environment: Record<string, string>): DoctorLine[] => serviceLines(testConfig(environment), bridge());
    const find = (all: DoctorLine[], name: string): DoctorLine | undefined => all.find((candidate) => candidate.name === name);
    assert.equal(find(lines({}), 'gateway')?.status, 'fail');
    const external = lines({ MQTT_BROKER: 'external', MQTT_URL: 'mqtt://127.0.0.1:1884' });
    assert.equal(find(external, 'gateway'), undefined);
    assert.equal(find(external, 'broker')?.found, 'mqtt://127.0.0.1:1884 (external)');
  });
});

test('a status that does not match the contract is reported with the reason', async (t) => {
  const folder = tempDir(t);
  const base = testConfig({ DATA_DIR: folder });
  const gateway = new GatewayService({ config: base, log: testLog(base) });
  t.after(() => gateway.stop());
  await gateway.start();
  const config = testConfig({ DATA_DIR: folder, MQTT_URL: `mqtt://127.0.0.1:${gateway.mqttPort}` });
  const forwarder = await connectAsync(config.MQTT_URL, {
    username: 'forwarder',
    password: readOrCreateSecret(config, 'forwarder'),
    protocolVersion: 4,
  });
  t.after(() => forwarder.end(true));
  const status = { ...serviceStatus('forwarder', {}), forwarder: {} };
  await forwarder.publishAsync(serviceStatusTopic('test-box', 'forwarder'), JSON.stringify(status), { retain: true, qos: 1 });
  const refused = new Map<string, string>();
  const lines = serviceLines(config, await readStatuses(config, testLog(config), refused), refused);
  const line = lines.find(({ name }) => name === serviceStatusTopic('test-box', 'forwarder'));
  assert.equal(line?.status, 'warn');
  assert.match(line.found, /does not match the contract: forwarder .*required/);
  assert.equal(statusOf(lines, 'forwarder'), 'fail');
});

describe('the stream, checked with the credentials of this shell', () => {
  const keys = (t: TestContext, values: Record<string, string>): void => {
    const before = { ...process.env };
    t.after(() => {
      process.env = before;
    });
    process.env = {
      PATH: before['PATH'],
      AWS_EC2_METADATA_DISABLED: 'true',
      AWS_REGION: 'eu-west-1',
      AWS_CONFIG_FILE: '/nowhere',
      AWS_SHARED_CREDENTIALS_FILE: '/nowhere',
      ...values,
    };
  };

  test('without credentials one line fails, and the stream is not checked', async (t) => {
    keys(t, {});
    const lines = await streamLines(testConfig({ KINESIS_TARGET: 'aws' }), undefined);
    assert.deepEqual(
      lines.map(({ name, status }) => [name, status]),
      [['AWS credentials', 'fail']],
    );
  });

  test('a missing stream and an unreachable endpoint fail; an existing stream is ok, with its limits', async (t) => {
    const { endpoint } = await startLocalStream(t);
    keys(t, { AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE1234', AWS_SECRET_ACCESS_KEY: 'secret' });
    const there = await streamLines(testConfig({ KINESIS_TARGET: endpoint }), undefined);
    assert.deepEqual(
      there.map(({ status }) => status),
      ['ok', 'ok'],
    );
    assert.match(there[0]?.found ?? '', /key …1234/);
    assert.doesNotMatch(JSON.stringify(there), /AKIDEXAMPLE|secret/);
    const missing = await streamLines(testConfig({ KINESIS_TARGET: endpoint, KINESIS_STREAM: 'another' }), undefined);
    assert.match(missing[1]?.found ?? '', /ResourceNotFoundException/);
    assert.match(missing[1]?.advice ?? '', /cloud\/template.yaml/);
    const away = await streamLines(testConfig({ KINESIS_TARGET: 'http://127.0.0.1:9' }), undefined);
    assert.deepEqual(
      away.map(({ status }) => status),
      ['ok', 'fail'],
    );
  });

  test('a forwarder with another target than these settings is a warning that tells where to run the doctor', async () => {
    const [line, ...others] = await streamLines(testConfig({}), { target: 'aws', target_name: 'AWS eu-west-1' });
    assert.equal(line?.status, 'warn');
    assert.match(line.advice, /run --rm --no-deps forwarder/);
    assert.deepEqual(others, []);
  });
});
