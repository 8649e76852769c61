/**
 * Power cuts of a forwarder while plain QoS 1 publishers run. Law: on every image, each reading whose PUBACK its client had received when
 * the power failed is in the queue, once, and the ledger balances.
 */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectAsync } from 'mqtt';
import { imbalance } from '../../../../forwarder/queue/ledger.ts';
import { GatewayService } from '../../../../gateway/service.ts';
import { newUser, writeUsers } from '../../../../gateway/users.ts';
import { contentsOf } from '../../../forwarder/queue/support/queue-files.ts';
import { TraceReader, type DiskEvent } from '../../../support/disk-trace.ts';
import { writeImage } from '../../../support/power-cut.ts';
import { seeded } from '../../../support/seeded.ts';
import { tempDir } from '../../../support/temp-dir.ts';
import { testConfig, testLog } from '../../../support/test-config.ts';
import { startTraced } from '../../power-cut/support/recorded-forwarder.ts';

const PUBLISHERS = 3;
const EVERY_MS = 8;
const PASSWORD = 'pass-word';
/** Times of strace and of this process are of one clock; what is this close to the cut is not asked for. */
const CLOCK_MARGIN_MS = 2;

interface Acknowledged {
  key: string;
  atMs: number;
}

export interface PublisherRecording {
  events: readonly DiskEvent[];
  timesMs: readonly number[];
  acknowledged: readonly Acknowledged[];
}

/** Records a forwarder that stores what QoS 1 publishers send, ships nothing, and is killed. */
export async function recordPublishers(t: TestContext, readings: number): Promise<PublisherRecording> {
  const folder = tempDir(t);
  const log = path.join(tempDir(t), 'strace');
  const config = testConfig({ DATA_DIR: folder });
  writeUsers(config, { app: await newUser(PASSWORD, { publish: ['hr/#'], subscribe: [] }) });
  const gateway = new GatewayService({ config, log: testLog(config) });
  t.after(() => gateway.stop());
  await gateway.start();
  const url = `mqtt://127.0.0.1:${gateway.mqttPort}`;
  const forwarder = await startTraced(
    t,
    {
      DATA_DIR: folder,
      GATEWAY_NAME: 'test-box',
      MQTT_URL: url,
      KINESIS_TARGET: 'http://127.0.0.1:9',
      AWS_ACCESS_KEY_ID: 'test',
      AWS_SECRET_ACCESS_KEY: 'test',
      AWS_REGION: 'us-east-1',
      AWS_EC2_METADATA_DISABLED: 'true',
    },
    log,
  );
  const acknowledged: Acknowledged[] = [];
  await Promise.all(
    Array.from({ length: PUBLISHERS }, async (_, publisher) => {
      const client = await connectAsync(url, { username: 'app', password: PASSWORD, protocolVersion: 4, reconnectPeriod: 0 });
      t.after(() => client.end(true));
      const publishes: Promise<void>[] = [];
      for (let index = 0; index < readings / PUBLISHERS; index += 1) {
        const timestamp = new Date(1_790_000_000_000 + index).toISOString();
        const payload = JSON.stringify({ timestamp, heart_rate: 72 });
        publishes.push(
          client.publishAsync(`hr/Bike${publisher}/bpm`, payload, { qos: 1 }).then(() => {
            acknowledged.push({ key: `Bike${publisher} ${timestamp}`, atMs: performance.timeOrigin + performance.now() });
          }),
        );
        await sleep(EVERY_MS);
      }
      await Promise.all(publishes);
    }),
  );
  await forwarder.end('SIGKILL');
  const reader = new TraceReader(folder);
  reader.read(log);
  return { events: reader.events, timesMs: reader.timesMs, acknowledged };
}

export interface PublisherCuts {
  images: number;
  acknowledged: number;
  /** Acknowledged readings that were asked for, over all images. */
  askedFor: number;
  seed: number;
}

export function cutUnderPublishers(t: TestContext, recording: PublisherRecording, images: number, seed: number): PublisherCuts {
  const { events, timesMs, acknowledged } = recording;
  const chance = seeded(seed);
  const account: PublisherCuts = { images: 0, acknowledged: acknowledged.length, askedFor: 0, seed };
  const firstMs = Math.min(...acknowledged.map(({ atMs }) => atMs));
  const first = timesMs.findIndex((timeMs) => timeMs >= firstMs);
  assert.ok(first > 0, 'nothing was acknowledged while the disk was recorded');
  for (; account.images < images; account.images += 1) {
    const image = path.join(tempDir(t), 'image');
    const cut = first + Math.floor(chance() * (events.length - first));
    writeImage(events, cut, image, chance);
    const { state, rows } = contentsOf(image);
    const stored = rows.map(({ data }) => {
      const { device, timestamp } = JSON.parse(data) as { device: string; timestamp: string };
      return `${device} ${timestamp}`;
    });
    const found = new Set(stored);
    const cutMs = (timesMs[cut - 1] ?? 0) - CLOCK_MARGIN_MS;
    const due = acknowledged.filter(({ atMs }) => atMs <= cutMs);
    const lost = due.filter(({ key }) => !found.has(key)).map(({ key }) => key);
    const where = `image ${account.images}, seed ${seed}, cut at event ${cut} of ${events.length}`;
    assert.deepEqual(lost.slice(0, 5), [], `${lost.length} acknowledged readings are lost: ${where}`);
    assert.equal(found.size, stored.length, `a reading is stored twice: ${where}`);
    assert.equal(imbalance(state), undefined, where);
    account.askedFor += due.length;
    rmSync(image, { recursive: true, force: true });
  }
  return account;
}
