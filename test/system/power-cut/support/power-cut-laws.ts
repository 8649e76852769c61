/** What must hold after a power failure, checked on images of a recorded forwarder's disk. */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { rmSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { imbalance } from '../../../../forwarder/queue/ledger.ts';
import { messageOf } from '../../../../service/errors/errors.ts';
import { contentsOf } from '../../../forwarder/queue/support/queue-files.ts';
import { startProduct } from '../../../support/product-process.ts';
import { writeImage } from '../../../support/power-cut.ts';
import { seeded } from '../../../support/seeded.ts';
import { tempDir } from '../../../support/temp-dir.ts';
import type { DiskEvent } from '../../../support/disk-trace.ts';
import type { Recording } from './recorded-forwarder.ts';

/** The highest watermark of a run that was published before an event. */
function publishedBefore(events: readonly DiskEvent[], cut: number, run: string): number {
  const said = new RegExp(`edge/[a-z-]+/stored/${run}[^{]{0,8}\\{"queue":"[0-9a-f]{16}","stored":(\\d+)`, 'g');
  let mark = 0;
  for (const event of events.slice(0, cut))
    if (event.kind === 'said') for (const match of event.text.matchAll(said)) mark = Math.max(mark, Number(match[1]));
  return mark;
}

function holds({ events, run, payloads, shipped }: Recording, cut: number, image: string): number {
  const published = publishedBefore(events, cut, run);
  const { state, rows, watermarks } = contentsOf(image);
  assert.equal(state.damage, '', 'a power cut is no damage');
  assert.equal(imbalance(state), undefined);
  const stored = watermarks.find((watermark) => watermark.run === run)?.stored ?? 0;
  assert.ok(stored >= published, `the mark says ${stored}, ${published} was published`);
  assert.equal(state.accepted, stored);
  assert.equal(state.queued, rows.length);
  const inQueue = new Set<number>();
  for (const { data } of rows) {
    const { seq } = JSON.parse(data) as { seq: number };
    assert.equal(data, payloads.get(seq), 'a reading is not as it was published');
    inQueue.add(seq);
  }
  assert.equal(inQueue.size, rows.length);
  for (let seq = 1; seq <= stored; seq += 1)
    assert.ok(inQueue.has(seq) || shipped.has(seq), `${seq} is neither queued nor shipped`);
  return published;
}

export interface PowerCutAccount {
  images: number;
  events: number;
  /** Images with something published before the cut. */
  withMarks: number;
  withTornFiles: number;
  seed: number;
}

/** Cuts power at random points of a recording. On each image the queue is opened as at start; on some a real forwarder is started. */
export async function cutAtRandom(
  t: TestContext,
  recording: Recording,
  { images, starts, seed = randomInt(1_000_000) }: { images: number; starts: number; seed?: number },
): Promise<PowerCutAccount> {
  const { events } = recording;
  const chance = seeded(seed);
  const firstWrite = events.findIndex(({ kind }) => kind === 'said');
  assert.ok(firstWrite > 0, 'nothing was published in the recording');
  const account: PowerCutAccount = { images: 0, events: events.length, withMarks: 0, withTornFiles: 0, seed };
  for (; account.images < images; account.images += 1) {
    const image = path.join(tempDir(t), 'image');
    // Some at the beginning, while files are created.
    const cut =
      chance() < 0.15 ? Math.floor(chance() * firstWrite) : firstWrite + Math.floor(chance() * (events.length - firstWrite));
    writeImage(events, cut, image, chance);
    try {
      if (account.images < starts) await startsOn(t, recording, image);
      if (holds(recording, cut, image) > 0) account.withMarks += 1;
      const { kind } = events[cut] ?? { kind: 'said' };
      if (kind === 'synced' || kind === 'write') account.withTornFiles += 1;
    } catch (error) {
      throw new Error(`seed ${seed}, image ${account.images}, cut at event ${cut} of ${events.length}: ${messageOf(error)}`, {
        cause: error,
      });
    }
    rmSync(image, { recursive: true, force: true });
  }
  return account;
}

async function startsOn(t: TestContext, { environment }: Recording, image: string): Promise<void> {
  const forwarder = startProduct(t, 'forwarder/main', {
    ...environment,
    DATA_DIR: image,
    MQTT_URL: 'mqtt://u:p@127.0.0.1:9',
    KINESIS_TARGET: 'http://127.0.0.1:9',
  });
  await forwarder.event('started', { withinMs: 120_000 });
  assert.equal(await forwarder.end('SIGTERM'), 0);
  assert.ok(!forwarder.lines().some(({ event }) => event === 'queue_damaged'));
}
