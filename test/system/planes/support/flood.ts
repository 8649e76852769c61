/** Many calm publishers beside one that floods. Law: everybody gets every PUBACK, the calm ones while the flood still goes on. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectAsync, type MqttClient } from 'mqtt';
import { quantile } from './interruptions.ts';
import { PASSWORD, TwoPlanesBox } from './two-planes-box.ts';

const FLOODER_DEVICE = 'Flood';
const START_MS = 1_790_000_000_000;

export interface FloodOptions {
  calm: number;
  /** Publishes of each calm publisher, one every `everyMs`. */
  publishes: number;
  everyMs: number;
  /** Publishes of the one that floods, all at once. */
  flood: number;
}

export interface FloodAccount {
  calmP50Ms: number;
  calmP99Ms: number;
  besideP50Ms: number;
  besideP99Ms: number;
  floodSeconds: number;
}

async function publish(client: MqttClient, device: string, index: number): Promise<number> {
  const sentAt = performance.now();
  const payload = JSON.stringify({ timestamp: new Date(START_MS + index).toISOString(), heart_rate: 72 });
  await client.publishAsync(`hr/${device}/bpm`, payload, { qos: 1 });
  return performance.now() - sentAt;
}

export async function floodBesideCalm(t: TestContext, { calm, publishes, everyMs, flood }: FloodOptions): Promise<FloodAccount> {
  const box = await TwoPlanesBox.start(t, { app: { publish: ['hr/#'] }, flooder: { publish: ['hr/#'] } });
  const client = async (username: string): Promise<MqttClient> => {
    const made = await connectAsync(box.url, { username, password: PASSWORD, protocolVersion: 4, reconnectPeriod: 0 });
    t.after(() => made.end(true));
    return made;
  };
  const clients: MqttClient[] = [];
  for (let index = 0; index < calm; index += 1) clients.push(await client('app'));
  const flooder = await client('flooder');

  /** Latencies of all calm publishers, who begin one after the other within one interval. */
  const round = async (from: number): Promise<number[]> => {
    const latencies = await Promise.all(
      clients.map(async (each, index) => {
        const own: number[] = [];
        await sleep((index / calm) * everyMs);
        for (let count = 0; count < publishes; count += 1) {
          own.push(await publish(each, `Calm${index}`, from + count));
          await sleep(everyMs);
        }
        return own;
      }),
    );
    return latencies.flat();
  };
  const alone = await round(1);

  const startedAt = performance.now();
  let acknowledged = 0;
  const flooding = Promise.all(
    Array.from({ length: flood }, async (_, index) => {
      await publish(flooder, FLOODER_DEVICE, index + 1);
      acknowledged += 1;
    }),
  );
  const beside = await round(1 + publishes);
  const acknowledgedThen = acknowledged;
  await flooding;
  const account: FloodAccount = {
    calmP50Ms: Math.round(quantile(alone, 0.5)),
    calmP99Ms: Math.round(quantile(alone, 0.99)),
    besideP50Ms: Math.round(quantile(beside, 0.5)),
    besideP99Ms: Math.round(quantile(beside, 0.99)),
    floodSeconds: Math.round((performance.now() - startedAt) / 100) / 10,
  };
  t.diagnostic(JSON.stringify({ ...account, floodedWhenTheCalmHadFinished: acknowledgedThen }));
  assert.ok(acknowledgedThen > 0, 'the flood is served as well');
  assert.ok(acknowledgedThen < flood, 'the calm publishers did not have to wait for the end of the flood');
  return account;
}
