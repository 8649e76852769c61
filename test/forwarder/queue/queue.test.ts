import assert from 'node:assert/strict';
import { once } from 'node:events';
import { closeSync, copyFileSync, existsSync, openSync, readdirSync, statSync, writeSync } from 'node:fs';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { Queue } from '../../../forwarder/queue/queue.ts';
import type { Append, RunWatermark } from '../../../forwarder/queue/queue-messages.ts';
import type { QueuedReading } from '../../../forwarder/queue/drain-queue.ts';
import { HrError } from '../../../service/errors/errors.ts';
import { openDatabase } from '../../../service/storage/sqlite.ts';
import { eventually } from '../../support/eventually.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { testConfig } from '../../support/test-config.ts';

const RUN = '0123456789abcdef';

function append(from: number, count: number, numbered = true): Append {
  const seqs = Array.from({ length: count }, (_, index) => from + index);
  return {
    rows: {
      data: seqs.map((seq) => JSON.stringify({ timestamp: '2026-01-01T00:00:00Z', heart_rate: 60, seq })),
      devices: seqs.map(() => 'polar'),
      sources: seqs.map(() => 0),
    },
    dead: [],
    watermarks: numbered ? [{ gateway: 'test-box', run: RUN, stored: from + count - 1, missed: {} }] : [],
  };
}

interface Opened {
  queue: Queue;
  watermarks: RunWatermark[];
}

async function open(t: TestContext, folder: string, environment: Record<string, string> = {}): Promise<Opened> {
  const queue = new Queue(testConfig({ DATA_DIR: folder, ...environment }));
  const opened = once(queue, 'opened');
  await queue.start();
  t.after(() => queue.stop());
  const [watermarks] = (await opened) as [RunWatermark[]];
  return { queue, watermarks };
}

const seqsOf = (rows: readonly QueuedReading[]): number[] => rows.map(({ data }) => (JSON.parse(data) as { seq: number }).seq);
const balanced = ({ state: { ledger } }: Queue): boolean =>
  ledger.accepted === ledger.shipped + ledger.queued + ledger.dead + ledger.evicted;
const all = { maxRows: 1000, maxBytes: 10_000_000 };

async function fill(queue: Queue, count: number): Promise<void> {
  queue.append(append(1, count));
  await eventually(() => queue.state.ledger.accepted === count);
}

test('rows are taken once, in order; a restart returns unacknowledged rows in order, with watermarks and ledger', async (t) => {
  const folder = tempDir(t);
  const { queue } = await open(t, folder);
  await fill(queue, 10);
  const first = await queue.take({ maxRows: 4, maxBytes: 1_000_000 });
  assert.deepEqual(seqsOf(first), [1, 2, 3, 4]);
  queue.acknowledge([first[0]?.id ?? 0, first[2]?.id ?? 0]);
  assert.deepEqual(seqsOf(await queue.take(all)), [5, 6, 7, 8, 9, 10]);
  assert.deepEqual(await queue.take(all), []);
  await queue.stop();
  const again = await open(t, folder);
  assert.deepEqual(again.watermarks, [{ gateway: 'test-box', run: RUN, stored: 10, missed: {} }]);
  assert.deepEqual(seqsOf(await again.queue.take(all)), [2, 4, 5, 6, 7, 8, 9, 10]);
  assert.deepEqual(again.queue.state.ledger, { accepted: 10, shipped: 2, queued: 8, dead: 0, evicted: 0, missed: 0 });
});

test('a take that waits gets the next rows with their commit, and no row twice', async (t) => {
  const { queue } = await open(t, tempDir(t));
  const first = queue.take({ ...all, waits: true });
  await fill(queue, 3);
  assert.deepEqual(seqsOf(await first), [1, 2, 3]);
  const second = queue.take({ ...all, waits: true });
  queue.append(append(4, 2));
  assert.deepEqual(seqsOf(await second), [4, 5]);
  assert.deepEqual(await queue.take(all), []);
});

test('a take that waits is not lost when rows of a device that was put back are asked for', async (t) => {
  const { queue } = await open(t, tempDir(t));
  const waiting = queue.take({ ...all, waits: true });
  assert.deepEqual(await queue.take({ ...all, ofHeld: 'strap-1' }), []);
  await fill(queue, 3);
  const rows = await waiting;
  assert.deepEqual(seqsOf(rows), [1, 2, 3]);
  for (const { device } of rows)
    queue.putBack(
      device,
      rows.filter((row) => row.device === device).map(({ id }) => id),
    );
  const device = rows[0]?.device ?? '';
  const held = await queue.take({ ...all, ofHeld: device });
  assert.deepEqual(
    held.map((row) => row.id),
    rows.filter((row) => row.device === device).map(({ id }) => id),
  );
  assert.deepEqual(await queue.take({ ...all, ofHeld: device }), [], 'each once');
  assert.deepEqual(await queue.take(all), [], 'nothing else of what is held');
});

test('an emptied queue never reuses an id, so later rows are taken', async (t) => {
  const { queue } = await open(t, tempDir(t));
  for (let round = 0; round < 5; round += 1) {
    queue.append(append(round * 3 + 1, 3));
    await eventually(() => queue.state.ledger.accepted === (round + 1) * 3);
    const rows = await queue.take(all);
    assert.equal(rows.length, 3);
    queue.acknowledge(rows.map(({ id }) => id));
    await eventually(() => queue.depth === 0);
  }
  assert.equal(queue.state.ledger.shipped, 15);
});

test('dead letters are counted and listed; whole readings can be retried, and discarded ones count as evicted', async (t) => {
  const { queue } = await open(t, tempDir(t));
  await fill(queue, 2);
  const [good] = await queue.take(all);
  queue.bury(good?.id ?? 0, 'refused_by_stream', 'why');
  queue.append({
    rows: { data: [], devices: [], sources: [] },
    dead: [{ reason: 'invalid', detail: 'not JSON', device: 'x', run: null, seq: null, bytes: 3, payload: 'abc', whole: true }],
    watermarks: [],
  });
  await eventually(() => queue.state.deadLetters === 2);
  assert.ok(balanced(queue));
  const { dead_letters: letters } = (await queue.deadLetters(10, null)) as { dead_letters: { id: number; reason: string }[] };
  assert.deepEqual(
    letters.map(({ reason }) => reason),
    ['invalid', 'refused_by_stream'],
  );
  assert.deepEqual(await queue.retryDead(null), { retried: 1, left: 1 });
  assert.deepEqual(seqsOf(await queue.take(all)), [1]);
  assert.deepEqual(await queue.discardDead(null), { discarded: 1 });
  await eventually(() => queue.state.ledger.evicted === 1);
  assert.equal(queue.state.causes.evicted['discarded'], 1);
  assert.ok(balanced(queue));
});

test('at the limit the oldest rows that are not in flight are evicted, counted and reported', async (t) => {
  const { queue } = await open(t, tempDir(t), { QUEUE_MAX_BYTES: '1MiB', QUEUE_COMMIT_INTERVAL_MS: '0' });
  const spans: number[] = [];
  queue.on('committed', ({ evicted }) => void spans.push(...evicted.map(({ count }) => count)));
  queue.append(append(1, 100));
  await eventually(() => queue.state.ledger.accepted === 100);
  const inFlight = await queue.take({ maxRows: 10, maxBytes: 1_000_000 });
  for (let from = 101; from < 30_000; from += 500) queue.append(append(from, 500));
  await eventually(() => queue.state.ledger.evicted > 0 && queue.state.ledger.accepted >= 30_000);
  assert.ok(queue.state.bytes <= 1024 * 1024);
  assert.equal(
    spans.reduce((sum, count) => sum + count, 0),
    queue.state.causes.evicted['queue_full'],
  );
  queue.acknowledge(inFlight.map(({ id }) => id));
  await eventually(() => queue.state.ledger.shipped === 10);
  assert.ok(balanced(queue));
});

test('with QUEUE_WHEN_FULL=refuse a full queue rejects writes, evicts nothing, and accepts again once it has drained', async (t) => {
  const { queue } = await open(t, tempDir(t), {
    QUEUE_MAX_BYTES: '1MiB',
    QUEUE_WHEN_FULL: 'refuse',
    QUEUE_COMMIT_INTERVAL_MS: '0',
  });
  let refusals = 0;
  queue.on('refused', () => void (refusals += 1));
  for (let from = 1; from < 30_000; from += 500) queue.append(append(from, 500));
  await eventually(() => queue.state.mode !== 'open');
  assert.equal(queue.state.ledger.evicted, 0);
  const accepted = queue.state.ledger.accepted;
  queue.append(append(accepted + 1, 1));
  await eventually(() => refusals > 0);
  assert.equal(queue.state.ledger.accepted, accepted);
  for (;;) {
    const rows = await queue.take(all);
    if (rows.length === 0) break;
    queue.acknowledge(rows.map(({ id }) => id));
  }
  await eventually(() => queue.state.mode === 'open');
  queue.append(append(accepted + 1, 5));
  await eventually(() => queue.state.ledger.accepted === accepted + 5);
  assert.ok(balanced(queue));
});

test('an open queue found damaged is replaced: what is readable is taken again, and no earlier acknowledgement counts', async (t) => {
  const folder = tempDir(t);
  const { queue } = await open(t, folder, { QUEUE_COMMIT_INTERVAL_MS: '0' });
  const file = path.join(folder, 'queue.db');
  // Far more than the page cache holds, so reads come from the file.
  const rows = 120_000;
  for (let from = 1; from <= rows; from += 500) queue.append(append(from, 500));
  await eventually(() => queue.state.ledger.accepted === rows, { withinMs: 60_000 });
  const inFlight = await queue.take({ maxRows: 10, maxBytes: 1_000_000 });
  // Rows in the WAL would be read from there.
  const other = openDatabase(file);
  other.pragma('wal_checkpoint(TRUNCATE)');
  other.close();
  assert.equal(statSync(`${file}-wal`).size, 0);
  const { size } = statSync(file);
  const fd = openSync(file, 'r+');
  for (let at = Math.floor(size / 10); at < size / 10 + 40_000; at += 512) writeSync(fd, Buffer.alloc(64, 0xee), 0, 64, at);
  closeSync(fd);
  const before: number[] = inFlight.map(({ id }) => id);
  queue.acknowledge(before.slice(0, 5));
  const taken: QueuedReading[] = [];
  await eventually(async () => {
    const found = await queue.take({ maxRows: 20_000, maxBytes: 100_000_000 });
    if (queue.state.damage !== null) return taken.push(...found);
    before.push(...found.map(({ id }) => id));
    return false;
  });
  assert.equal(queue.state.damage?.code, 'queue_damaged');
  assert.ok(readdirSync(folder).some((name) => name.startsWith('queue.damaged-')));
  assert.equal(queue.state.ledger.accepted, rows, 'what was accepted never decreases');
  // All that was taken from the earlier file is acknowledged, and nothing of the new one is gone.
  queue.acknowledge(before);
  queue.bury(before[0] ?? 0, 'refused_by_stream', 'of the earlier file');
  queue.append(append(rows + 1, 5));
  await eventually(() => queue.state.ledger.accepted === rows + 5);
  await eventually(async () => {
    for (const row of await queue.take({ maxRows: rows, maxBytes: 100_000_000 })) taken.push(row);
    return taken.length === queue.depth;
  });
  const { ledger, causes } = queue.state;
  assert.ok(taken.length > rows * 0.9, String(taken.length));
  assert.deepEqual({ shipped: ledger.shipped, dead: ledger.dead }, { shipped: 0, dead: 0 });
  assert.equal(causes.evicted['damaged'], rows + 5 - taken.length);
  assert.ok(Math.min(...taken.map(({ id }) => id)) > Math.max(...before));
  assert.equal(new Set(seqsOf(taken)).size, taken.length);
  queue.acknowledge(taken.map(({ id }) => id));
  await eventually(() => queue.depth === 0);
  assert.ok(balanced(queue), JSON.stringify(queue.state.ledger));
  assert.deepEqual(await queue.acknowledgeDamage(), { acknowledged: true });
  await eventually(() => queue.state.damage === null);
});

test('a queue of a newer version is refused with its error code', async (t) => {
  const folder = tempDir(t);
  const { queue } = await open(t, folder);
  await queue.stop();
  const database = openDatabase(path.join(folder, 'queue.db'));
  database.pragma('user_version = 99');
  database.close();
  await assert.rejects(
    new Queue(testConfig({ DATA_DIR: folder })).start(),
    (error) => error instanceof HrError && error.code === 'queue_too_new',
  );
});

test('a row acknowledged twice is counted once', async (t) => {
  const { queue } = await open(t, tempDir(t));
  await fill(queue, 5);
  const ids = (await queue.take(all)).map(({ id }) => id);
  queue.acknowledge(ids.slice(0, 3));
  queue.acknowledge(ids.slice(0, 3));
  await eventually(() => queue.state.ledger.shipped === 3);
  queue.acknowledge(ids.slice(0, 4));
  await eventually(() => queue.state.ledger.shipped === 4);
  assert.deepEqual(queue.state.ledger, { accepted: 5, shipped: 4, queued: 1, dead: 0, evicted: 0, missed: 0 });
});

test('dead letters have a limit of their own, so garbage never evicts readings', async (t) => {
  const { queue } = await open(t, tempDir(t), { QUEUE_MAX_BYTES: '1MiB' });
  await fill(queue, 500);
  for (let index = 1; index <= 200; index += 1)
    queue.append({
      rows: { data: [], devices: [], sources: [] },
      dead: [
        {
          reason: 'invalid',
          detail: 'not JSON',
          device: 'x',
          run: null,
          seq: null,
          bytes: 4096,
          payload: String(index).padEnd(4096, 'x'),
          whole: true,
        },
      ],
      watermarks: [],
    });
  await eventually(() => queue.state.ledger.accepted === 700);
  const { dead, evicted, queued } = queue.state.ledger;
  assert.equal(queued, 500);
  assert.equal(dead + evicted, 200);
  assert.equal(queue.state.causes.evicted['dead_letters_full'], evicted);
  const { dead_letters: letters } = (await queue.deadLetters(500, null)) as { dead_letters: { payload: string }[] };
  assert.equal(letters.length, dead);
  assert.ok(letters[0]?.payload.startsWith('200x'));
});

test('a retried simulated reading stays simulated', async (t) => {
  const { queue } = await open(t, tempDir(t));
  queue.append({
    rows: {
      data: [
        JSON.stringify({
          timestamp: '2026-01-01T00:00:00Z',
          heart_rate: 60,
          device: 'sim-1',
          run: RUN,
          seq: 7,
          source: 'simulated',
        }),
      ],
      devices: ['sim-1'],
      sources: [1],
    },
    dead: [],
    watermarks: [],
  });
  const [row] = await eventually(async () => {
    const rows = await queue.take(all);
    return rows.length > 0 ? rows : undefined;
  });
  queue.bury(row?.id ?? 0, 'refused_by_stream', 'why');
  await eventually(() => queue.state.deadLetters === 1);
  const { dead_letters: letters } = (await queue.deadLetters(10, null)) as { dead_letters: { run: string; seq: number }[] };
  assert.deepEqual(
    letters.map(({ run, seq }) => ({ run, seq })),
    [{ run: RUN, seq: 7 }],
  );
  await queue.retryDead(null);
  assert.deepEqual(
    (await queue.take(all)).map(({ source, device }) => ({ source, device })),
    [{ source: 'simulated', device: 'sim-1' }],
  );
});

test('a backup taken while the queue works is a complete queue', async (t) => {
  const { queue } = await open(t, tempDir(t));
  await fill(queue, 500);
  const { file } = (await queue.backup()) as { file: string };
  assert.ok(existsSync(file));
  const restored = tempDir(t);
  copyFileSync(file, path.join(restored, 'queue.db'));
  const copy = await open(t, restored);
  assert.equal((await copy.queue.take(all)).length, 500);
  assert.deepEqual(copy.watermarks, [{ gateway: 'test-box', run: RUN, stored: 500, missed: {} }]);
});
