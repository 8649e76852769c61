import assert from 'node:assert/strict';
import { appendFileSync, cpSync, mkdirSync, readdirSync, readFileSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { BridgeOutbox } from '../../ble-bridge/publishing/bridge-outbox.ts';
import { decodeHeader, decodeLines, encodeHeader, encodeLine } from '../../outbox/spill-lines.ts';
import { findEarlierRuns } from '../../outbox/earlier-runs.ts';
import { nodeDisk } from '../../outbox/spill-disk.ts';
import { decodePacket, parseOffer, type Offer } from '../../contract/delivery.ts';
import { topicMatches } from '../../service/mqtt/subscription-routes.ts';
import { eventually } from '../support/eventually.ts';
import { tempDir } from '../support/temp-dir.ts';
import { testConfig, testLog } from '../support/test-config.ts';

const QUEUE = 'f000000000000001';
/** See test/data/SOURCES.md. */
const VERSION_1_FOLDER = fileURLToPath(new URL('../data/spill-1.0.0', import.meta.url));

const fields = (heart_rate: number) => ({
  timestamp: new Date().toISOString(),
  heart_rate,
  device: 'polar',
  rr_intervals_ms: [],
  sensor_contact: true,
  energy_expended_kj: null,
  clock: 'synced' as const,
});

interface Bench {
  outbox: BridgeOutbox;
  published: { topic: string; payload: string }[];
}

async function start(t: TestContext, folder: string, environment: Record<string, string> = {}): Promise<Bench> {
  const config = testConfig({ DATA_DIR: folder, ...environment });
  const published: { topic: string; payload: string }[] = [];
  const outbox = new BridgeOutbox({
    config,
    log: testLog(config),
    publish: (topic, payload) => published.push({ topic, payload }) > 0,
    writableLength: () => 0,
  });
  await outbox.start();
  t.after(() => outbox.stop());
  return { outbox, published };
}

/** A message of the forwarder about a run, if the bridge has subscribed to it. */
function stored(outbox: BridgeOutbox, run: string, message: object, gateway = 'test-box'): void {
  const topic = `edge/${gateway}/stored/${run}`;
  for (const [filter, handler] of Object.entries(outbox.subscriptions))
    if (topicMatches(filter, topic)) handler(topic, Buffer.from(JSON.stringify({ queue: QUEUE, ...message })), false);
}

interface Published {
  kind: string;
  gateway: string;
  run: string;
  payload: string;
}
const onDeliveryPlane = ({ topic, payload }: Bench['published'][number]): Published[] => {
  const [first, gateway = '', kind = '', run = ''] = topic.split('/');
  return first === 'edge' ? [{ kind, gateway, run, payload }] : [];
};

const offersOf = ({ published }: Bench, run?: string): Offer[] =>
  published.flatMap(onDeliveryPlane).flatMap((message) => {
    if (message.kind !== 'offer' || (run !== undefined && message.run !== run)) return [];
    const offer = parseOffer(message.payload);
    assert.ok(offer.ok);
    return [offer.value];
  });

/** Answers offers and stores everything, as a forwarder that works. Returns the seqs in the order of arrival. */
function storeAll({ outbox, published }: Bench): number[] {
  const seqs: number[] = [];
  const next = new Map<string, number>();
  for (let at = 0; at < published.length; at += 1)
    for (const { kind, gateway, run, payload } of onDeliveryPlane(published[at] ?? { topic: '', payload: '' })) {
      if (kind === 'offer') {
        const offer = parseOffer(payload);
        assert.ok(offer.ok);
        const from = Math.max(next.get(run) ?? 1, offer.value.from);
        next.set(run, from);
        stored(outbox, run, { stored: from - 1, sync: offer.value.sync }, gateway);
        continue;
      }
      for (const { seq } of decodePacket(payload).readings) {
        seqs.push(seq);
        if (seq === next.get(run)) next.set(run, seq + 1);
      }
      stored(outbox, run, { stored: (next.get(run) ?? 1) - 1 }, gateway);
    }
  return seqs;
}

test('the next process finds what was not stored when a bridge ended, and sends it in order until its files are removed', async (t) => {
  const folder = tempDir(t);
  const first = await start(t, folder);
  for (let i = 1; i <= 250; i += 1) first.outbox.accept(fields(60 + (i % 100)));
  await first.outbox.stop();
  assert.ok(readdirSync(path.join(folder, 'outbox')).some((name) => name.endsWith('.spill')));
  const second = await start(t, folder);
  await eventually(() => second.outbox.held === 250);
  second.outbox.up();
  const delivered = await eventually(() => {
    const all = storeAll(second);
    return new Set(all).size === 250 ? all : undefined;
  });
  assert.deepEqual(
    [...new Set(delivered)],
    Array.from({ length: 250 }, (_, index) => index + 1),
  );
  await eventually(() => second.outbox.held === 0 && readdirSync(path.join(folder, 'outbox')).length === 0);
});

test('once memory is half full readings are spilled to disk, and read back in order', async (t) => {
  const bench = await start(t, tempDir(t), { OUTBOX_MEMORY: '100', OUTBOX_WINDOW: '50' });
  for (let batch = 0; batch < 40; batch += 1) {
    for (let i = 0; i < 25; i += 1) bench.outbox.accept(fields(70));
    await eventually(() => bench.outbox.status().spilled >= Math.min(batch * 25 - 100, 900) || batch < 3);
  }
  assert.equal(bench.outbox.status().dropped, 0);
  assert.equal(bench.outbox.held, 1000);
  bench.outbox.up();
  await eventually(() => new Set(storeAll(bench)).size === 1000, { withinMs: 40_000 });
  await eventually(() => bench.outbox.held === 0);
});

test('a full outbox drops the oldest readings, counts them, reports them to the forwarder and publishes a gap', async (t) => {
  const bench = await start(t, tempDir(t), { OUTBOX_MEMORY: '100', OUTBOX_MAX_BYTES: '65536' });
  for (let batch = 0; batch < 60; batch += 1) {
    for (let i = 0; i < 40; i += 1) bench.outbox.accept(fields(70));
    await new Promise((resolve) => setTimeout(resolve, 15));
  }
  const { dropped } = await eventually(() =>
    bench.outbox.status().dropped > 500 && bench.outbox.status().spill_bytes <= 65_536 ? bench.outbox.status() : undefined,
  );
  const gaps = (): { from: string; to: string; cause: string; readings: number }[] =>
    bench.published
      .filter(({ topic }) => topic === 'hr/polar/gap')
      .map(({ payload }) => JSON.parse(payload) as ReturnType<typeof gaps>[number]);
  // The broker is away: what is dropped meanwhile is one gap, published when it is back.
  assert.deepEqual(gaps(), []);
  bench.outbox.up();
  await eventually(() => gaps().length > 0);
  const [gap, ...others] = gaps();
  assert.equal(gap?.cause, 'outbox_full');
  assert.ok(gap.readings >= dropped && gap.from < gap.to, JSON.stringify(gap));
  assert.deepEqual(others, []);
  const offer = await eventually(() => offersOf(bench).at(-1));
  assert.ok((offer.dropped.outbox_full ?? 0) >= dropped - 1000);
  assert.equal(offer.last, 2400);
  assert.ok(offer.from > 1);
});

test('a torn end and damaged bytes cost the lines they are in, and never yield a false reading', () => {
  const entries = Array.from({ length: 50 }, (_, index) => ({ seq: index + 1, payload: `{"heart_rate":${index}}` }));
  const text = entries.map(encodeLine).join('');
  assert.deepEqual(decodeLines(text), entries);
  for (let cut = 0; cut < text.length; cut += 3)
    assert.deepEqual(decodeLines(text.slice(0, cut)), entries.slice(0, decodeLines(text.slice(0, cut)).length));
  for (let at = 0; at < text.length; at += 5) {
    const flipped = `${text.slice(0, at)}${String.fromCodePoint((text.codePointAt(at) ?? 0) ^ 1)}${text.slice(at + 1)}`;
    const read = decodeLines(flipped);
    assert.ok(read.length >= 48);
    for (const entry of read) assert.ok(entries.some(({ seq, payload }) => seq === entry.seq && payload === entry.payload));
  }
});

test('empty, foreign and torn files do not prevent a start', async (t) => {
  const folder = tempDir(t);
  const run = '0123456789abcdef';
  writeFileSync(path.join(folder, `${run}-00000001.spill`), '');
  writeFileSync(path.join(folder, 'notes.txt'), 'hello');
  const second = path.join(folder, `${run}-00000002.spill`);
  writeFileSync(second, [1, 2, 3].map((seq) => encodeLine({ seq, payload: '{}' })).join(''));
  truncateSync(second, readFileSync(second).length - 4);
  appendFileSync(second, encodeLine({ seq: 4, payload: '{}' }));
  const [found, ...others] = await findEarlierRuns({ disk: nodeDisk, folder, maxBytes: 1_000_000, gateway: 'test-box' });
  assert.equal(others.length, 0);
  // The reading whose line break is damaged is torn, the one behind it is whole.
  assert.equal(found?.files.count, 3);
  assert.ok(readdirSync(folder).includes('notes.txt'));
});

test('earlier processes share one limit: the oldest run is dropped, counted, and offered until the forwarder knows', async (t) => {
  const folder = tempDir(t);
  mkdirSync(path.join(folder, 'outbox'));
  const runs = [1, 2, 3, 4, 5, 6].map((n) => n.toString(16).padStart(16, '0'));
  for (const [index, run] of runs.entries()) {
    const file = path.join(folder, 'outbox', `${run}-00000001.spill`);
    writeFileSync(
      file,
      Array.from({ length: 200 }, (_, at) =>
        encodeLine({ seq: at + 1, payload: JSON.stringify({ ...fields(70), run, seq: at + 1 }) }),
      ).join(''),
    );
    utimesSync(file, 1_700_000_000 + index, 1_700_000_000 + index);
  }
  const bench = await start(t, folder, { OUTBOX_MAX_BYTES: '131072' });
  const { dropped } = await eventually(() =>
    bench.outbox.status().spill_bytes <= 131_072 &&
    bench.outbox.held + bench.outbox.status().dropped === 1200 &&
    bench.outbox.held < 1200
      ? bench.outbox.status()
      : undefined,
  );
  assert.ok(dropped > 0 && dropped % 200 === 0, String(dropped));
  bench.outbox.up();
  // The first offer is lost on its way: it is repeated.
  const told = (run: string): Offer[] => offersOf(bench, run);
  await eventually(() => told(runs[0] ?? '').length > 1);
  assert.deepEqual(
    [...new Set(told(runs[0] ?? '').map(({ from, dropped: by }) => JSON.stringify([from, by])))],
    ['[201,{"outbox_full":200}]'],
  );
  await eventually(
    () => storeAll(bench).length > 0 && bench.outbox.held === 0 && readdirSync(path.join(folder, 'outbox')).length === 0,
    { withinMs: 60_000, everyMs: 100 },
  );
});

test('a bridge subscribes to the watermarks of its box, and of the box whose readings an earlier process left', async (t) => {
  const folder = tempDir(t);
  const first = await start(t, folder);
  assert.deepEqual(Object.keys(first.outbox.subscriptions), ['edge/test-box/stored/+', 'edge/sync']);
  first.outbox.accept(fields(70));
  await first.outbox.stop();
  const renamed = await start(t, folder, { GATEWAY_NAME: 'renamed' });
  assert.deepEqual(Object.keys(renamed.outbox.subscriptions), ['edge/renamed/stored/+', 'edge/test-box/stored/+', 'edge/sync']);
  renamed.outbox.up();
  await eventually(() => storeAll(renamed).length > 0 && renamed.outbox.held === 0);
  const [packet] = renamed.published.filter(({ topic }) => topic.includes('/readings/'));
  assert.equal(packet?.topic, `edge/test-box/readings/${first.outbox.run}`);
  assert.match(packet.payload, /"gateway":"test-box"/);
});

test('the header of a spill file says whose it is and what may have been sent; the newest counts, and version 1.0.0 skips it', () => {
  const run = '0123456789abcdef';
  const header = (may_have_sent: number): string => encodeHeader({ gateway: 'box', run, may_have_sent });
  const text = [header(10_000), encodeLine({ seq: 1, payload: '{}' }), header(20_000), encodeLine({ seq: 2, payload: '{}' })];
  assert.deepEqual(decodeHeader(text.join('')), { format: 3, gateway: 'box', run, may_have_sent: 20_000 });
  assert.deepEqual(
    decodeLines(text.join('')).map(({ seq }) => seq),
    [1, 2],
  );
  assert.equal(decodeHeader(encodeLine({ seq: 1, payload: '{}' })), undefined);
});

test('after the kill of a bridge that had sent more than was on disk, a watermark above its files is accepted', async (t) => {
  const folder = tempDir(t);
  const first = await start(t, folder, { OUTBOX_MEMORY: '100' });
  for (let i = 0; i < 60; i += 1) first.outbox.accept(fields(70));
  await eventually(() => first.outbox.status().spilled === 60);
  const copy = path.join(tempDir(t), 'killed');
  cpSync(folder, copy, { recursive: true });
  // It had sent up to 90 when it was killed; the forwarder has stored all of them.
  const second = await start(t, copy);
  second.outbox.up();
  const offer = await eventually(() => offersOf(second, first.outbox.run)[0]);
  assert.equal(offer.last, 60);
  stored(second.outbox, first.outbox.run, { stored: 20_000, sync: offer.sync });
  assert.equal(second.outbox.held, 60, 'more than it can have sent');
  stored(second.outbox, first.outbox.run, { stored: 90, sync: offer.sync });
  await eventually(() => second.outbox.held === 0);
});

test('readings that a bridge of version 1.0.0 left are delivered unchanged, under their own run', async (t) => {
  const folder = tempDir(t);
  cpSync(VERSION_1_FOLDER, path.join(folder, 'outbox'), { recursive: true });
  const bench = await start(t, folder);
  await eventually(() => bench.outbox.held === 30);
  bench.outbox.up();
  await eventually(() => storeAll(bench).length >= 30 && bench.outbox.held === 0);
  const packets = bench.published.filter(({ topic }) => topic.includes('/readings/'));
  const sent = packets.flatMap(({ payload }) => decodePacket(payload).readings);
  const [file = ''] = readdirSync(VERSION_1_FOLDER);
  assert.deepEqual(sent, decodeLines(readFileSync(path.join(VERSION_1_FOLDER, file), 'utf8')));
  assert.equal(packets[0]?.topic, `edge/test-box/readings/${file.slice(0, 16)}`);
});

const timersOfThisProcess = (): number => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;

test('an outbox that holds nothing sleeps: no timer wakes an idle bridge, one runs while a reading waits to be stored', async (t) => {
  const bench = await start(t, tempDir(t));
  const slept = async (): Promise<boolean> => await eventually(() => timersOfThisProcess() === 0, { what: 'no timer is left' });
  assert.ok(await slept());
  bench.outbox.up();
  assert.ok(await slept());
  bench.outbox.accept(fields(70));
  for (let look = 0; look < 5; look += 1) {
    await new Promise((resolve) => setTimeout(resolve, 60));
    assert.ok(timersOfThisProcess() > 0, 'a reading waits to be stored');
  }
  storeAll(bench);
  assert.equal(bench.outbox.held, 0);
  assert.ok(await slept());
});
