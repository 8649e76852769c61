/** PUBACKs of other clients (QoS 1, hr/<device>/bpm), by the product and by Mosquitto: rate, CPU time and latency of one run. */
import { setTimeout as sleep } from 'node:timers/promises';
import { newUser, writeUsers } from '../../gateway/users.ts';
import { readConfig } from '../../service/config/config.ts';
import { startPersistentMosquitto } from './brokers.ts';
import { startHelper, type Child } from './child.ts';
import { forwarderStatus } from './forwarder-status.ts';
import type { Figures } from './measures.ts';
import { startSeparate, UPLINK_AWAY } from './pipeline.ts';
import { usageOf } from './process-usage.ts';
import { withScratch, type Scratch } from './scratch.ts';

const USER = 'bench';
const PASSWORD = 'bench-password';

export interface ClientLoad {
  clients: number;
  /** Unacknowledged publishes of each client under full load. */
  inFlight: number;
  /** Duration of the calm span, with 2 readings per second and client. */
  calmSeconds: number;
  /** Duration of the span under full load. */
  seconds: number;
}

interface Acknowledged {
  figures: Figures;
  acknowledged: number;
}

/** Runs the clients against a broker. `processes`: CPU time per PUBACK is measured for each, under this column. */
async function load(
  scratch: Scratch,
  url: string,
  { clients, inFlight, calmSeconds, seconds }: ClientLoad,
  processes: Readonly<Record<string, Child>>,
  credentials: Record<string, string> = {},
): Promise<Acknowledged> {
  const child = startHelper(scratch, 'support/clients.ts', {
    MQTT_URL: url,
    CLIENTS: String(clients),
    INFLIGHT: String(inFlight),
    CALM_MS: String(calmSeconds * 1000),
    ...credentials,
  });
  let ms = 0;
  let acknowledged = 0;
  child.process.stdout?.on('data', (chunk: Buffer) => {
    for (const [, at, count] of chunk.toString().matchAll(/"ms":([\d.]+),"acknowledged":(\d+)/g)) {
      ms = Number(at);
      acknowledged = Number(count);
    }
  });
  const calm = await child.line(({ event }) => event === 'calm', calmSeconds * 1000 + 60_000);
  // Under full load: when every window was acknowledged once.
  const windows = Number(calm['acknowledged']) + clients * inFlight;
  await child.line(({ event, acknowledged: count }) => event === 'progress' && Number(count) >= windows);
  await sleep(1000);
  const watched: Record<string, Child> = { ...processes, 'clients µs': child };
  const cpu = (): number[] => Object.values(watched).map(({ pid }) => usageOf(pid).cpuSeconds);
  const [beginMs, beginCount, before] = [ms, acknowledged, cpu()];
  await sleep(seconds * 1000);
  const [endMs, endCount, after] = [ms, acknowledged, cpu()];
  child.say({ stop: true });
  const done = await child.line(({ event }) => event === 'done');
  if (done['sent'] !== done['acknowledged'])
    throw new Error(`sent ${String(done['sent'])}, acknowledged ${String(done['acknowledged'])}`);
  const count = endCount - beginCount;
  return {
    acknowledged: Number(done['acknowledged']),
    figures: {
      'PUBACKs/s': (count * 1000) / (endMs - beginMs),
      ...Object.fromEntries(
        Object.keys(watched).map((column, index) => [column, (((after[index] ?? 0) - (before[index] ?? 0)) * 1e6) / count]),
      ),
      'calm p50 ms': Number(calm['p50_ms']),
      'calm p99 ms': Number(calm['p99_ms']),
    },
  };
}

/** Gateway and forwarder in separate processes. Throws unless every acknowledged reading is in the queue, once. */
export async function acknowledgedByProduct(clientLoad: ClientLoad): Promise<Figures> {
  return await withScratch(async (scratch) => {
    const dataDir = scratch.folder();
    writeUsers(readConfig({ DATA_DIR: dataDir }), {
      [USER]: await newUser(PASSWORD, { publish: ['hr/+/bpm'], subscribe: [] }),
    });
    // The default limits what one client may publish to 1,000 messages per second.
    const settings = { ...UPLINK_AWAY, DATA_DIR: dataDir, MQTT_MAX_PUBLISHES_PER_SECOND: '1000000' };
    const pipeline = await startSeparate(scratch, settings);
    const status = await forwarderStatus(scratch, pipeline);
    const { gateway, forwarder } = pipeline.processes;
    if (gateway === undefined || forwarder === undefined) throw new Error('gateway and forwarder run');
    const { figures, acknowledged } = await load(
      scratch,
      pipeline.mqttUrl,
      clientLoad,
      { 'broker µs': gateway, 'forwarder µs': forwarder },
      { MQTT_NAME: USER, MQTT_PASSWORD: PASSWORD },
    );
    const limit = performance.now() + 20_000;
    while ((status.last()?.ledger.accepted ?? 0) < acknowledged && performance.now() < limit) await sleep(100);
    const accepted = status.last()?.ledger.accepted ?? 0;
    if (accepted !== acknowledged) throw new Error(`acknowledged ${acknowledged}, accepted ${accepted}`);
    return figures;
  });
}

/** Mosquitto that saves its database after each change, with a persistent subscriber; empty if it is not installed. */
export async function acknowledgedByMosquitto(clientLoad: ClientLoad): Promise<Figures> {
  return await withScratch(async (scratch) => {
    const broker = await startPersistentMosquitto(scratch);
    if (broker === undefined) return {};
    const subscriber = startHelper(scratch, 'support/keep-subscribed.ts', { MQTT_URL: broker.url });
    await subscriber.line(({ event }) => event === 'subscribed');
    const { figures, acknowledged } = await load(scratch, broker.url, clientLoad, { 'broker µs': broker.child });
    await subscriber.line(({ received }) => received === acknowledged);
    return figures;
  });
}
