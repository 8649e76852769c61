/**
 * `npm run drill`: starts the pipeline on the local stream in a scratch folder, cuts the stream for a while, kills the forwarder in the
 * middle, restores both, and prints the account of every reading with a verdict. Touches nothing of the real installation.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseServiceStatus, type ServiceStatus } from '../../contract/service-status.ts';
import { SERVICE_STATUS_FILTER } from '../../contract/topics.ts';
import { readConfig } from '../../service/config.ts';
import { messageOf } from '../../service/errors.ts';
import { createLogger } from '../../service/log.ts';
import { MqttLink } from '../../service/mqtt-link.ts';
import { accountOf, type RunAccount } from '../account.ts';
import { streamClient } from '../stream-client.ts';
import { DrillPipeline } from './drill-pipeline.ts';

const STRAPS = 50;
const SETTLE_LIMIT_MS = 25_000;
const STEPS = ['start', 'run', 'cut the stream', 'kill the forwarder', 'start the forwarder again', 'give the stream back', 'stop the straps', 'let the queue drain', 'read everything back'] as const;

function show(step: number): void {
  const words = `[${'#'.repeat(step + 1)}${'.'.repeat(STEPS.length - step - 1)}] ${STEPS[step] ?? ''}`;
  if (process.stdout.isTTY) process.stdout.write(`\r${words.padEnd(60)}`);
  else console.log(words);
}

function watch(pipeline: DrillPipeline, dataDir: string): { link: MqttLink; statuses: Map<string, ServiceStatus> } {
  const statuses = new Map<string, ServiceStatus>();
  const config = readConfig({ DATA_DIR: dataDir, MQTT_URL: `mqtt://127.0.0.1:${pipeline.mqttPort}` });
  const link = new MqttLink({
    service: 'admin-api',
    config,
    log: createLogger('drill', { LOG_LEVEL: 'silent', LOG_PRETTY: 'false' }),
    subscriptions: {
      [SERVICE_STATUS_FILTER]: (_topic, payload) => {
        const status = parseServiceStatus(payload);
        if (status.ok) statuses.set(status.value.service, status.value);
      },
    },
  });
  link.start();
  return { link, statuses };
}

async function until(condition: () => boolean): Promise<boolean> {
  const end = performance.now() + SETTLE_LIMIT_MS;
  while (!condition() && performance.now() < end) await sleep(100);
  return condition();
}

function verdict(status: ServiceStatus | undefined, taken: number, accounts: readonly RunAccount[]): boolean {
  const ledger = status?.forwarder?.ledger;
  const account = accounts[0];
  const present = account?.present ?? 0;
  const balanced = ledger !== undefined && ledger.accepted === ledger.shipped + ledger.queued + ledger.dead + ledger.evicted;
  console.log(`\ntaken from the straps   ${taken}`);
  if (ledger !== undefined) console.log(`accepted by the queue   ${ledger.accepted}\nshipped                 ${ledger.shipped}\nqueued ${ledger.queued}, dead ${ledger.dead}, evicted ${ledger.evicted}, missed ${ledger.missed}\nthe ledger              ${balanced ? 'balances' : 'DOES NOT BALANCE'}`);
  console.log(`in the stream           ${present}, of them twice: ${account?.duplicates ?? 0}, missing: ${taken - present}`);
  const good = balanced && taken > 0 && present === taken;
  console.log(good ? '\nPASSED: every reading is in the stream.' : '\nFAILED: not every reading is accounted for.');
  return good;
}

async function main(): Promise<number> {
  const dataDir = mkdtempSync(path.join(tmpdir(), 'hr-gateway-drill-'));
  const pipeline = new DrillPipeline(dataDir, STRAPS);
  process.once('exit', () => {
    pipeline.killAll();
    rmSync(dataDir, { recursive: true, force: true });
  });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
  console.log(`A drill on a scratch folder, with ${STRAPS} simulated straps: nothing of this box's own data is touched.`);
  show(0);
  await pipeline.start('gateway');
  await pipeline.start('local-kinesis');
  await pipeline.start('forwarder');
  await pipeline.start('ble-bridge');
  const { link, statuses } = watch(pipeline, dataDir);
  show(1);
  await sleep(5000);
  show(2);
  await pipeline.kill('local-kinesis');
  await sleep(4000);
  show(3);
  await pipeline.kill('forwarder');
  await sleep(3000);
  show(4);
  await pipeline.start('forwarder');
  await sleep(3000);
  show(5);
  await pipeline.start('local-kinesis');
  await sleep(3000);
  show(6);
  await pipeline.stop('ble-bridge');
  show(7);
  const taken = statuses.get('ble-bridge')?.bridge?.outbox.last_seq ?? 0;
  await until(() => {
    const forwarder = statuses.get('forwarder')?.forwarder;
    return forwarder !== undefined && forwarder.depth === 0 && forwarder.ledger.accepted >= taken;
  });
  show(8);
  const client = streamClient(readConfig({ LOCAL_KINESIS_PORT: String(pipeline.streamPort) }));
  const accounts = await accountOf(client, 'drill');
  client.destroy();
  const good = verdict(statuses.get('forwarder'), taken, accounts);
  await link.stop();
  await pipeline.stopAll();
  return good ? 0 : 1;
}

try {
  process.exit(await main());
} catch (error) {
  console.error(`\nthe drill could not be carried out: ${messageOf(error)}`);
  process.exit(2);
}
