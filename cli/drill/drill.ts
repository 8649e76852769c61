/**
 * `npm run drill`: starts the pipeline on the local stream in a scratch folder, cuts the stream for a while, kills the forwarder in the
 * middle, restores both, and prints the account of every reading with a verdict. Touches nothing of the real installation.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseServiceStatus, type ServiceStatus } from '../../contract/service-status.ts';
import { READINGS_FILTER, SERVICE_STATUS_FILTER } from '../../contract/topics.ts';
import { readConfig } from '../../service/config/config.ts';
import { messageOf } from '../../service/errors/errors.ts';
import { createLogger } from '../../service/log/log.ts';
import { MqttLink } from '../../service/mqtt/mqtt-link.ts';
import { accountOf, type RunAccount } from '../account.ts';
import { streamClient } from '../stream-client.ts';
import { DrillPipeline } from './drill-pipeline.ts';

const STRAPS = 50;
const SETTLE_LIMIT_MS = 20_000;
const STEPS = [
  'start',
  'run',
  'cut the stream',
  'kill the forwarder',
  'start the forwarder again',
  'give the stream back',
  'stop the straps',
  'let the queue drain',
  'read everything back',
] as const;
const beganAt = performance.now();

function show(step: number): void {
  const seconds = `${((performance.now() - beganAt) / 1000).toFixed(0)} s`.padStart(4);
  const words = `[${'#'.repeat(step + 1)}${'.'.repeat(STEPS.length - step - 1)}] ${seconds}  ${STEPS[step] ?? ''}`;
  if (process.stdout.isTTY) process.stdout.write(`\r${words.padEnd(60)}`);
  else console.log(words);
}

function watch(
  pipeline: DrillPipeline,
  dataDir: string,
): { link: MqttLink; statuses: Map<string, ServiceStatus>; counts: { live: number } } {
  const statuses = new Map<string, ServiceStatus>();
  const counts = { live: 0 };
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
      [READINGS_FILTER]: () => {
        counts.live += 1;
      },
    },
  });
  link.start();
  return { link, statuses, counts };
}

async function until(condition: () => boolean): Promise<boolean> {
  const end = performance.now() + SETTLE_LIMIT_MS;
  while (!condition() && performance.now() < end) await sleep(100);
  return condition();
}

interface Taken {
  run: string;
  total: number;
  /** Of them: while the stream was cut, and while the forwarder was dead. */
  cut: number;
  dead: number;
}

function verdict(status: ServiceStatus | undefined, taken: Taken, accounts: readonly RunAccount[]): boolean {
  const ledger = status?.forwarder?.ledger;
  const account = accounts.find(({ run }) => run === taken.run);
  const missing = taken.total - (account?.present ?? 0);
  const balanced = ledger !== undefined && ledger.accepted === ledger.shipped + ledger.queued + ledger.dead + ledger.evicted;
  const line = (name: string, words: string | number): void => console.log(`${name.padEnd(24)}${words}`);
  console.log('');
  line(
    'taken from the straps',
    `${taken.total}, of them ${taken.cut} while the stream was cut, ${taken.dead} while the forwarder was dead`,
  );
  if (ledger === undefined) line('the ledger', 'IS NOT KNOWN: the forwarder says nothing');
  else {
    line('accepted by the queue', ledger.accepted);
    line('shipped', ledger.shipped);
    line('left', `queued ${ledger.queued}, dead ${ledger.dead}, evicted ${ledger.evicted}; never accepted: ${ledger.missed}`);
    line('the ledger', balanced ? 'balances' : 'DOES NOT BALANCE');
  }
  line(
    'in the stream',
    `${account?.present ?? 0}, of them twice: ${account?.duplicates ?? 0}, missing: ${missing}${missing > 0 ? ` (${account?.missing.slice(0, 10).join(', ') ?? 'all'})` : ''}`,
  );
  const good = balanced && taken.total > 0 && missing === 0;
  console.log(
    good
      ? `\nPASSED in ${((performance.now() - beganAt) / 1000).toFixed(0)} s: every reading is in the stream.`
      : '\nFAILED: not every reading is accounted for. The log lines above and `npm run doctor` may say why.',
  );
  return good;
}

async function main(): Promise<number> {
  const dataDir = mkdtempSync(path.join(tmpdir(), 'hr-gateway-drill-'));
  const pipeline = new DrillPipeline(dataDir, STRAPS);
  process.once('exit', () => {
    pipeline.killAll();
    // What was just killed may still be in the middle of a write.
    rmSync(dataDir, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
  console.log(`A drill on a scratch folder, with ${STRAPS} simulated straps: nothing of this box's own data is touched.`);
  show(0);
  await Promise.all([pipeline.start('gateway'), pipeline.start('local-kinesis')]);
  await Promise.all([pipeline.start('forwarder'), pipeline.start('ble-bridge')]);
  const { link, statuses, counts } = watch(pipeline, dataDir);
  show(1);
  await sleep(4000);
  show(2);
  const beforeCut = counts.live;
  await pipeline.kill('local-kinesis');
  await sleep(3000);
  show(3);
  const beforeKill = counts.live;
  await pipeline.kill('forwarder');
  await sleep(3000);
  show(4);
  await pipeline.start('forwarder');
  const dead = counts.live - beforeKill;
  await sleep(2000);
  show(5);
  await pipeline.start('local-kinesis');
  const cut = counts.live - beforeCut;
  await sleep(2000);
  show(6);
  await pipeline.stop('ble-bridge');
  show(7);
  await until(() => statuses.get('ble-bridge')?.state === 'offline');
  const bridge = statuses.get('ble-bridge')?.bridge;
  const taken = bridge?.outbox.last_seq ?? 0;
  await until(() => {
    const forwarder = statuses.get('forwarder')?.forwarder;
    return forwarder !== undefined && forwarder.depth === 0 && forwarder.ledger.accepted >= taken;
  });
  show(8);
  const client = streamClient(readConfig({ LOCAL_KINESIS_PORT: String(pipeline.streamPort) }));
  const accounts = await accountOf(client, 'drill');
  client.destroy();
  const good = verdict(statuses.get('forwarder'), { run: bridge?.run ?? '', total: taken, cut, dead }, accounts);
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
