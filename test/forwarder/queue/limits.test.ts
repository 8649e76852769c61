import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { AdminApiService } from '../../../admin-api/service.ts';
import { BridgeOutbox } from '../../../ble-bridge/publishing/bridge-outbox.ts';
import { parseGap, type Gap } from '../../../contract/device-status.ts';
import { ForwarderService } from '../../../forwarder/service.ts';
import { GatewayService } from '../../../gateway/service.ts';
import type { Service } from '../../../service/process/lifecycle.ts';
import { MqttLink } from '../../../service/mqtt/mqtt-link.ts';
import { getJson, type QueueAnswer } from '../../system/pipeline/support/one-process.ts';
import { eventually } from '../../support/eventually.ts';
import { startLocalStream, type LocalStream } from '../../support/local-stream.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { testConfig, testLog } from '../../support/test-config.ts';

interface Queue extends QueueAnswer {
  bytes: number;
  causes: { evicted: Record<string, number> };
}

interface Bench {
  stream: LocalStream;
  outbox: BridgeOutbox;
  gaps: (Gap & { readings?: number })[];
  queue(): Promise<Queue>;
  metrics(): Promise<string>;
  health(): Promise<{ checks: { name: string; status: string; code: string; reason: string }[] }>;
  /** Accepts this many readings, at a pace that the queue keeps up with. */
  accept(count: number): Promise<void>;
  restartForwarder(): Promise<void>;
}

/** Real broker, forwarder, admin API, local stream and outbox in this process, with a queue of 1 MiB and a stream that fails. */
async function start(t: TestContext, environment: Record<string, string>): Promise<Bench> {
  const stream = await startLocalStream(t, { LOCAL_KINESIS_LIMITS: 'false' });
  const base = testConfig({
    DATA_DIR: tempDir(t),
    LOCAL_KINESIS_PORT: String(stream.port),
    QUEUE_MAX_BYTES: '1MiB',
    QUEUE_MIN_FREE_DISK_BYTES: '0',
    OUTBOX_MEMORY: '400',
    ...environment,
  });
  await stream.faults({ request: 'status500' });
  const running: { stop(): Promise<void> }[] = [];
  const add = async <S extends Service>(service: S): Promise<S> => {
    await service.start();
    running.unshift(service);
    return service;
  };
  t.after(async () => {
    for (const service of running) await service.stop();
  });
  const gateway = await add(new GatewayService({ config: base, log: testLog(base) }));
  const config = { ...base, MQTT_URL: `mqtt://127.0.0.1:${gateway.mqttPort}` };
  const context = {
    config,
    log: testLog(config),
    onFatal: (error: unknown) => {
      throw error;
    },
  };
  let forwarder = await add(new ForwarderService(context));
  const admin = await add(new AdminApiService(context));
  const api = `http://127.0.0.1:${admin.port}`;
  let link: MqttLink | undefined;
  const outbox = new BridgeOutbox({
    config,
    log: testLog(config),
    publish: (topic, payload) => link?.publish(topic, payload) ?? false,
    writableLength: () => 0,
  });
  link = new MqttLink({ service: 'ble-bridge', config, log: testLog(config), subscriptions: () => outbox.subscriptions });
  const gaps: Bench['gaps'] = [];
  const watcher = new MqttLink({
    service: 'admin-api',
    config,
    log: testLog(config),
    subscriptions: {
      'hr/+/gap': (_, payload) => {
        const gap = parseGap(payload);
        if (gap.ok) gaps.push(gap.value);
      },
    },
  });
  link.on('up', () => outbox.up());
  outbox.start();
  link.start();
  watcher.start();
  running.unshift(link, watcher, outbox);
  await eventually(() => watcher.connected && link.connected);
  return {
    stream,
    outbox,
    gaps,
    queue: async () => await getJson<Queue>(`${api}/queue`),
    metrics: async () => await (await fetch(`${api}/metrics`)).text(),
    health: async () => await getJson(`${api}/health`),
    async accept(count) {
      for (let taken = 0; taken < count; taken += 1) {
        outbox.accept({
          timestamp: new Date().toISOString(),
          heart_rate: 60 + (taken % 90),
          device: 'strap-1',
          rr_intervals_ms: [812.5],
          sensor_contact: true,
          energy_expended_kj: null,
          clock: 'synced',
        });
        if (taken % 100 === 99) await sleep(5);
      }
    },
    async restartForwarder() {
      running.splice(running.indexOf(forwarder), 1);
      await forwarder.stop();
      forwarder = await add(new ForwarderService(context));
    },
  };
}

const balanced = ({ ledger }: Queue): boolean =>
  ledger.accepted === ledger.shipped + ledger.queued + ledger.dead + ledger.evicted;

test('a full queue evicts the oldest readings not in flight, reports a gap, and keeps the counts over a restart', async (t) => {
  const { accept, outbox, queue, metrics, gaps, restartForwarder, stream } = await start(t, {});
  await accept(6500);
  await eventually(() => outbox.held === 0, { withinMs: 60_000 });
  const full = await eventually(async () => {
    const answer = await queue();
    return answer.ledger.accepted === 6500 && answer.ledger.evicted > 0 ? answer : undefined;
  });
  assert.ok(balanced(full));
  assert.ok(full.bytes <= 1024 * 1024, `${full.bytes} bytes`);
  assert.deepEqual(full.causes.evicted, { queue_full: full.ledger.evicted });
  await eventually(
    () =>
      gaps.filter(({ cause }) => cause === 'evicted').reduce((sum, { readings = 0 }) => sum + readings, 0) ===
      full.ledger.evicted,
  );
  for (const { from, to } of gaps) assert.ok(from <= to);
  const evicted = new RegExp(`^hr_gateway_readings_evicted_total\\{[^}]*cause="queue_full"[^}]*\\} ${full.ledger.evicted}$`, 'm');
  await eventually(async () => evicted.test(await metrics()), { what: String(evicted) });
  await restartForwarder();
  await eventually(async () => {
    const { ledger } = await queue();
    return ledger.accepted === 6500 && ledger.evicted === full.ledger.evicted;
  });
  await stream.faults({});
  await eventually(async () => (await queue()).ledger.queued === 0, { withinMs: 60_000 });
  const end = await queue();
  assert.ok(balanced(end));
  const seqs = new Set((await stream.readAll()).map(({ seq }) => seq));
  assert.equal(seqs.size, 6500 - end.ledger.evicted);
  // The oldest reading was in flight when the queue was full, so it was not evicted.
  assert.ok(seqs.has(1));
});

test('with QUEUE_WHEN_FULL=refuse the bridge holds and spills, nothing is evicted, and every reading is shipped in the end', async (t) => {
  const { accept, outbox, queue, health, stream } = await start(t, { QUEUE_WHEN_FULL: 'refuse' });
  await accept(6500);
  await eventually(async () => (await health()).checks.some(({ code }) => code === 'queue_full'), {
    withinMs: 60_000,
  });
  await eventually(() => outbox.held > 400 && outbox.status().spilled > 0);
  const full = await queue();
  assert.equal(full.ledger.evicted, 0);
  assert.ok(full.ledger.accepted < 6500);
  assert.equal(outbox.status().dropped, 0);
  await stream.faults({});
  await eventually(() => outbox.held === 0, { withinMs: 90_000 });
  await eventually(async () => (await queue()).ledger.shipped === 6500, { withinMs: 60_000 });
  assert.deepEqual((await queue()).ledger, { accepted: 6500, shipped: 6500, queued: 0, dead: 0, evicted: 0, missed: 0 });
  assert.equal(new Set((await stream.readAll()).map(({ seq }) => seq)).size, 6500);
});
