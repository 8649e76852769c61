import assert from 'node:assert/strict';
import { appendFileSync, mkdirSync, readdirSync, readFileSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { Outbox } from '../../outbox/outbox.ts';
import { decodeLines, encodeLine, findEarlierRuns } from '../../outbox/spill-files.ts';
import { parseSource } from '../../contract/outbox-protocol.ts';
import { topicMatches } from '../../service/mqtt/mqtt-link.ts';
import { eventually } from '../support/eventually.ts';
import { tempDir } from '../support/temp-dir.ts';
import { testConfig, testLog } from '../support/test-config.ts';

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
  outbox: Outbox;
  published: { topic: string; payload: string }[];
}

async function start(t: TestContext, folder: string, environment: Record<string, string> = {}): Promise<Bench> {
  const config = testConfig({ DATA_DIR: folder, ...environment });
  const published: { topic: string; payload: string }[] = [];
  const outbox = new Outbox({
    config,
    log: testLog(config),
    publish: (topic, payload) => published.push({ topic, payload }) > 0,
    writableLength: () => 0,
  });
  await outbox.start();
  t.after(() => outbox.stop());
  return { outbox, published };
}

/** The forwarder's word about a run, as far as the bridge has subscribed it. */
function mark(outbox: Outbox, run: string, message: object): void {
  const topic = `edge/stored/${run}`;
  for (const [filter, handler] of Object.entries(outbox.subscriptions))
    if (topicMatches(filter, topic)) handler(topic, Buffer.from(JSON.stringify(message)), false);
}

/** Answers sources and stores everything, as a forwarder that works. */
function storeAll({ outbox, published }: Bench): number[] {
  const stored: number[] = [];
  const next = new Map<string, number>();
  for (let at = 0; at < published.length; at += 1) {
    const { topic, payload } = published[at] ?? { topic: '', payload: '' };
    const run = topic.slice(topic.lastIndexOf('/') + 1);
    if (topic.startsWith('edge/source/')) {
      const source = parseSource(payload);
      if (source.ok)
        mark(outbox, run, { stored: source.value.from - 1, next: next.get(run) ?? source.value.from, sync: source.value.sync });
    }
    if (!topic.startsWith('edge/resend/')) continue;
    for (const line of payload.split('\n')) stored.push(Number(line.split(' ', 1)[0]));
    next.set(run, Math.max(...stored) + 1);
    mark(outbox, run, { stored: Math.max(...stored) });
  }
  return stored;
}

test('what is not stored when a bridge ends is found by the next one and sent by it, in order, until its files are gone', async (t) => {
  const folder = tempDir(t);
  const first = await start(t, folder);
  for (let i = 1; i <= 250; i += 1) first.outbox.accept(fields(60 + (i % 100)));
  await first.outbox.stop();
  assert.ok(readdirSync(path.join(folder, 'outbox')).some((name) => name.endsWith('.spill')));
  const second = await start(t, folder);
  assert.equal(second.outbox.held, 250);
  second.outbox.up();
  const stored = await eventually(() => {
    const all = storeAll(second);
    return new Set(all).size === 250 ? all : undefined;
  });
  assert.deepEqual(
    [...new Set(stored)],
    Array.from({ length: 250 }, (_, index) => index + 1),
  );
  await eventually(() => second.outbox.held === 0 && readdirSync(path.join(folder, 'outbox')).length === 0);
});

test('with memory half full readings go on on disk, and come back from there in order', async (t) => {
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

test('a full outbox gives the oldest up, counts them, tells the forwarder and says the gap', async (t) => {
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
  // The broker is away: what is given up meanwhile is one gap, said when it is back.
  assert.deepEqual(gaps(), []);
  bench.outbox.up();
  await eventually(() => gaps().length > 0);
  const [gap, ...others] = gaps();
  assert.equal(gap?.cause, 'outbox_full');
  assert.ok(gap.readings >= dropped && gap.from < gap.to, JSON.stringify(gap));
  assert.deepEqual(others, []);
  const source = await eventually(() =>
    bench.published
      .map(({ topic, payload }) => (topic.startsWith('edge/source/') ? parseSource(payload) : undefined))
      .find((parsed) => parsed?.ok === true),
  );
  assert.ok(source.ok);
  assert.ok((source.value.dropped['outbox_full'] ?? 0) >= dropped - 1000);
  assert.equal(source.value.last, 2400);
  assert.ok(source.value.from > 1);
});

test('a torn end and damaged bytes cost the lines they are in, and never give back a false reading', () => {
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

test('files that are empty, foreign or torn are no obstacle', (t) => {
  const folder = tempDir(t);
  const run = '0123456789abcdef';
  writeFileSync(path.join(folder, `${run}-00000001.spill`), '');
  writeFileSync(path.join(folder, 'notes.txt'), 'hello');
  const second = path.join(folder, `${run}-00000002.spill`);
  writeFileSync(second, [1, 2, 3].map((seq) => encodeLine({ seq, payload: '{}' })).join(''));
  truncateSync(second, readFileSync(second).length - 4);
  appendFileSync(second, encodeLine({ seq: 4, payload: '{}' }));
  const [found, ...others] = findEarlierRuns(folder, 1_000_000);
  assert.equal(others.length, 0);
  assert.equal(found?.files.count, 2);
  assert.ok(readdirSync(folder).includes('notes.txt'));
});

test('what many earlier processes left keeps to one limit together: the oldest goes, counted and told until the forwarder has heard it', async (t) => {
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
  // The first source is lost on its way: it is said again.
  const told = (run: string): { from: number; dropped: Record<string, number> }[] =>
    bench.published
      .filter(({ topic }) => topic === `edge/source/${run}`)
      .map(({ payload }) => JSON.parse(payload) as { from: number; dropped: Record<string, number> });
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

test('a bridge subscribes the marks of the runs that it holds, and of all where those are many', async (t) => {
  const folder = tempDir(t);
  const first = await start(t, folder);
  assert.deepEqual(Object.keys(first.outbox.subscriptions), [`edge/stored/${first.outbox.run}`, 'edge/sync']);
  first.outbox.accept(fields(70));
  await first.outbox.stop();
  const second = await start(t, folder);
  assert.deepEqual(
    Object.keys(second.outbox.subscriptions).toSorted(),
    [`edge/stored/${first.outbox.run}`, `edge/stored/${second.outbox.run}`, 'edge/sync'].toSorted(),
  );
  await second.outbox.stop();
  for (let run = 0; run < 20; run += 1)
    writeFileSync(
      path.join(folder, 'outbox', `${String(run).padStart(16, '0')}-00000001.spill`),
      encodeLine({
        seq: 1,
        payload: JSON.stringify({ ...fields(70), gateway: 'test-box', run: String(run).padStart(16, '0'), seq: 1 }),
      }),
    );
  const third = await start(t, folder);
  assert.deepEqual(Object.keys(third.outbox.subscriptions), ['edge/stored/+', 'edge/sync']);
});

const timersOfThisProcess = (): number => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;

test('an outbox that holds nothing sleeps: no timer wakes an idle bridge, one runs while a reading waits for its mark', async (t) => {
  const bench = await start(t, tempDir(t));
  const slept = async (): Promise<boolean> => await eventually(() => timersOfThisProcess() === 0, { what: 'no timer is left' });
  assert.ok(await slept());
  bench.outbox.up();
  assert.ok(await slept());
  const { run, seq } = bench.outbox.accept(fields(70));
  for (let look = 0; look < 5; look += 1) {
    await new Promise((resolve) => setTimeout(resolve, 60));
    assert.ok(timersOfThisProcess() > 0, 'the reading is watched over');
  }
  mark(bench.outbox, run, { stored: seq });
  assert.equal(bench.outbox.held, 0);
  assert.ok(await slept());
});
