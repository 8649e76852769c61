/**
 * The drill: runs the pipeline on the local stream in a scratch folder, cuts the stream, kills the forwarder in the middle, restores
 * both, and accounts for every reading. Touches nothing of the real installation.
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
import { CommandFailure } from '../frame/failures.ts';
import { streamClient } from '../stream-client.ts';
import { accountOf } from './account.ts';
import { DrillPipeline } from './drill-pipeline.ts';
import { Progress } from './progress.ts';
import { verdictOf, type Verdict } from './verdict.ts';

const STRAPS = 50;
const SETTLE_LIMIT_MS = 20_000;

/** Follows the scratch pipeline over MQTT: the last status of each service, and how many live readings arrived. */
class Observer {
  readonly statuses = new Map<string, ServiceStatus>();
  /** Why statuses were ignored that do not match the contract, by topic. */
  readonly refused = new Map<string, string>();
  readonly #link: MqttLink;
  #live = 0;

  constructor(dataDir: string, mqttPort: number) {
    this.#link = new MqttLink({
      service: 'admin-api',
      config: readConfig({ DATA_DIR: dataDir, MQTT_URL: `mqtt://127.0.0.1:${mqttPort}` }),
      log: createLogger('drill', { LOG_LEVEL: 'silent', LOG_PRETTY: 'false' }),
      subscriptions: {
        [SERVICE_STATUS_FILTER]: (topic, payload) => {
          const status = parseServiceStatus(payload);
          if (status.ok) this.statuses.set(status.value.service, status.value);
          else if (payload.length > 0) this.refused.set(topic, status.reason);
        },
        [READINGS_FILTER]: () => {
          this.#live += 1;
        },
      },
    });
  }

  get live(): number {
    return this.#live;
  }

  start(): void {
    this.#link.start();
  }

  async stop(): Promise<void> {
    await this.#link.stop();
  }

  /** Waits until the condition holds, or for 20 s: what is missing then shows in the account. */
  async until(condition: () => boolean): Promise<void> {
    const end = performance.now() + SETTLE_LIMIT_MS;
    while (!condition() && performance.now() < end) await sleep(100);
  }
}

/** The pipeline runs when this is called; on return the readings are counted and the services still run. */
async function failAndRestore(pipeline: DrillPipeline, observer: Observer, progress: Progress): Promise<Verdict> {
  progress.show('run');
  await sleep(4000);
  progress.show('cut the stream');
  const beforeCut = observer.live;
  await pipeline.kill('local-kinesis');
  await sleep(3000);
  progress.show('kill the forwarder');
  const beforeKill = observer.live;
  await pipeline.kill('forwarder');
  await sleep(3000);
  progress.show('start the forwarder again');
  await pipeline.start('forwarder');
  const whileDead = observer.live - beforeKill;
  await sleep(2000);
  progress.show('give the stream back');
  await pipeline.start('local-kinesis');
  const whileCut = observer.live - beforeCut;
  await sleep(2000);
  progress.show('stop the straps');
  await pipeline.stop('ble-bridge');
  progress.show('let the queue drain');
  await observer.until(() => observer.statuses.get('ble-bridge')?.state === 'offline');
  const bridge = observer.statuses.get('ble-bridge')?.bridge;
  const total = bridge?.outbox.last_seq ?? 0;
  await observer.until(() => {
    const forwarder = observer.statuses.get('forwarder')?.forwarder;
    return forwarder !== undefined && forwarder.depth === 0 && forwarder.ledger.accepted >= total;
  });
  progress.show('read everything back');
  const client = await streamClient(readConfig({ LOCAL_KINESIS_PORT: String(pipeline.streamPort) }));
  try {
    const account = await accountOf(client, 'drill');
    return verdictOf(
      observer.statuses.get('forwarder')?.forwarder?.ledger,
      { run: bridge?.run ?? '', total, whileCut, whileDead },
      account,
    );
  } finally {
    client.destroy();
  }
}

/**
 * Runs the drill, prints its progress and its account, and returns whether every reading is in the stream.
 * Throws CommandFailure if the drill could not be carried out. The end of the process removes whatever is left of it.
 */
export async function runDrill({ json }: { json: boolean }): Promise<boolean> {
  const output = json ? process.stderr : process.stdout;
  const say = (text: string): void => void output.write(`${text}\n`);
  const progress = new Progress(output);
  const dataDir = mkdtempSync(path.join(tmpdir(), 'hr-gateway-drill-'));
  const pipeline = new DrillPipeline(dataDir, STRAPS);
  process.once('exit', () => {
    pipeline.killAll();
    // A process that was just killed may still finish a write.
    rmSync(dataDir, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  });
  say(`Drill on a scratch folder with ${STRAPS} simulated straps: no data of this box is touched.`);
  let verdict: Verdict;
  try {
    progress.show('start');
    await Promise.all([pipeline.start('gateway'), pipeline.start('local-kinesis')]);
    await Promise.all([pipeline.start('forwarder'), pipeline.start('ble-bridge')]);
    const observer = new Observer(dataDir, pipeline.mqttPort);
    observer.start();
    verdict = await failAndRestore(pipeline, observer, progress);
    await observer.stop();
    for (const [topic, reason] of observer.refused) say(`Ignored a status on ${topic}: ${reason}`);
    await pipeline.stopAll();
  } catch (error) {
    throw new CommandFailure(`the drill could not be carried out: ${messageOf(error)}`, { cause: error });
  }
  if (json) {
    console.log(JSON.stringify({ passed: verdict.passed, seconds: progress.seconds, ...verdict.facts }));
    return verdict.passed;
  }
  say(`\n${verdict.lines.join('\n')}\n`);
  say(
    verdict.passed
      ? `PASSED in ${progress.seconds} s: every reading is in the stream.`
      : 'FAILED: not every reading is accounted for. hr-gateway doctor may name the reason.',
  );
  return verdict.passed;
}
