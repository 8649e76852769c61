/** A real forwarder under strace that receives readings from a real outbox over a real broker, is stopped, killed, restarted, and ships. */
import { spawn } from 'node:child_process';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';
import { BridgeOutbox } from '../../../../ble-bridge/publishing/bridge-outbox.ts';
import { GatewayService } from '../../../../gateway/service.ts';
import { MqttLink } from '../../../../service/mqtt/mqtt-link.ts';
import { TraceReader, straceArgs, type DiskEvent } from '../../../support/disk-trace.ts';
import { eventually } from '../../../support/eventually.ts';
import { startLocalStream } from '../../../support/local-stream.ts';
import { productArgs } from '../../../support/product-process.ts';
import { tempDir } from '../../../support/temp-dir.ts';
import { testConfig, testLog } from '../../../support/test-config.ts';

const root = fileURLToPath(new URL('../../../..', import.meta.url));

export interface Recording {
  events: DiskEvent[];
  run: string;
  /** Published payload by seq. */
  payloads: Map<number, string>;
  /** Seqs that the stream holds at the end. */
  shipped: Set<number>;
  /** Environment with which to start the product on an image. */
  environment: Record<string, string>;
}

export interface Traced {
  /** Sends a signal to the forwarder itself, and waits for the end of its trace. */
  end(signal: NodeJS.Signals): Promise<void>;
}

/** A forwarder under strace, once it has started. */
export async function startTraced(t: TestContext, environment: Record<string, string>, log: string): Promise<Traced> {
  const child = spawn('strace', [...straceArgs(log), process.execPath, ...productArgs('forwarder/main')], {
    cwd: root,
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], UV_USE_IO_URING: '0', LOG_PRETTY: 'false', ...environment },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => void (output += chunk.toString()));
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const pid = await eventually(() => Number(/"event":"started".*?"pid":(\d+)/.exec(output)?.[1] ?? 0) || undefined, {
    withinMs: 120_000,
    what: `the traced forwarder: ${output}`,
  });
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) process.kill(pid, signal);
    await ended;
  };
  t.after(async () => await end('SIGKILL'));
  return { end };
}

/** Records a forwarder that receives `readings` in each of three phases: shut down in order, killed, shipping. */
export async function recordForwarder(t: TestContext, readings: number): Promise<Recording> {
  const folder = tempDir(t);
  const logs = tempDir(t);
  const config = testConfig({ DATA_DIR: folder, QUEUE_COMMIT_INTERVAL_MS: '5' });
  const gateway = new GatewayService({ config, log: testLog(config) });
  await gateway.start();
  t.after(() => gateway.stop());
  const MQTT_URL = `mqtt://127.0.0.1:${gateway.mqttPort}`;
  const linkConfig = { ...config, MQTT_URL };
  const payloads = new Map<number, string>();
  let link: MqttLink | undefined;
  const outbox = new BridgeOutbox({
    config: linkConfig,
    log: testLog(config),
    publish: (topic, payload) => link?.publish(topic, payload) ?? false,
    writableLength: () => 0,
  });
  link = new MqttLink({
    service: 'ble-bridge',
    config: linkConfig,
    log: testLog(config),
    subscriptions: () => outbox.subscriptions,
  });
  link.on('up', () => outbox.up());
  link.on('down', () => outbox.down());
  outbox.start();
  link.start();
  t.after(async () => {
    await link.stop();
    await outbox.stop();
  });
  const accept = async (count: number): Promise<void> => {
    for (let taken = 0; taken < count; taken += 1) {
      const { seq, payload } = outbox.accept({
        timestamp: new Date().toISOString(),
        heart_rate: 60 + (taken % 90),
        device: `strap-${taken % 3}`,
        rr_intervals_ms: [812.5],
        sensor_contact: true,
        energy_expended_kj: null,
        clock: 'synced',
      });
      payloads.set(seq, payload);
      if (taken % 8 === 7) await sleep(6);
    }
  };
  const allStored = async (): Promise<true> =>
    await eventually(() => outbox.held === 0, { withinMs: 120_000, what: 'everything stored' });
  const environment = {
    DATA_DIR: folder,
    GATEWAY_NAME: 'test-box',
    MQTT_URL,
    QUEUE_COMMIT_INTERVAL_MS: '5',
    KINESIS_TARGET: 'http://127.0.0.1:9',
    AWS_ACCESS_KEY_ID: 'test',
    AWS_SECRET_ACCESS_KEY: 'test',
    AWS_REGION: 'us-east-1',
    AWS_EC2_METADATA_DISABLED: 'true',
  };
  const traces = [1, 2, 3].map((part) => path.join(logs, `${part}.strace`));

  const first = await startTraced(t, environment, traces[0] ?? '');
  await accept(readings);
  await allStored();
  await first.end('SIGTERM');

  const second = await startTraced(t, environment, traces[1] ?? '');
  await accept(readings);
  await eventually(() => outbox.held < readings / 2, { withinMs: 120_000, what: 'half of it stored' });
  await second.end('SIGKILL');

  const stream = await startLocalStream(t);
  const third = await startTraced(t, { ...environment, KINESIS_TARGET: stream.endpoint }, traces[2] ?? '');
  await accept(readings);
  await allStored();
  const shipped = await eventually(
    async () => {
      const seqs = new Set((await stream.readAll()).map(({ seq }) => seq));
      return seqs.size > 0.6 * payloads.size ? seqs : undefined;
    },
    { withinMs: 120_000, everyMs: 200, what: 'most of it shipped' },
  );
  await third.end('SIGTERM');
  for (const { seq } of await stream.readAll()) shipped.add(seq);

  const reader = new TraceReader(folder);
  for (const trace of traces) reader.read(trace);
  return { events: reader.events, run: outbox.run, payloads, shipped, environment };
}
