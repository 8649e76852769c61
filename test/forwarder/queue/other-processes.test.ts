import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ForwarderHealth } from '../../../forwarder/health.ts';
import { Queue } from '../../../forwarder/queue/queue.ts';
import { eventually } from '../../support/eventually.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { testConfig } from '../../support/test-config.ts';
import { otherProcess } from './support/other-process.ts';
import { appendOf, readingOf } from './support/queue-files.ts';

const MiB = 1024 * 1024;
const all = { maxRows: 100_000, maxBytes: 100 * MiB };

interface Bench {
  queue: Queue;
  file: string;
  /** The highest watermark that was committed, or reported with a refusal, last. */
  stored(): number;
  refusals(): number;
  evicted(): number;
}

async function open(t: TestContext, settings: Record<string, string>): Promise<Bench> {
  const folder = tempDir(t);
  const queue = new Queue(testConfig({ DATA_DIR: folder, QUEUE_MIN_FREE_DISK_BYTES: '0', ...settings }));
  let stored = 0;
  let refusals = 0;
  let evicted = 0;
  queue.on('committed', (reply) => {
    stored = Math.max(stored, ...reply.watermarks.map((watermark) => watermark.stored));
    evicted += reply.evicted.length;
  });
  queue.on('refused', ({ watermarks }) => {
    refusals += 1;
    stored = watermarks[0]?.stored ?? 0;
  });
  await queue.start();
  t.after(() => queue.stop());
  return { queue, file: path.join(folder, 'queue.db'), stored: () => stored, refusals: () => refusals, evicted: () => evicted };
}

function checksOf(queue: Queue): Map<string, { code: string; reason: string; status: string }> {
  const uplink = { reported: { state: 'ok' } } as ConstructorParameters<typeof ForwarderHealth>[1]['uplink'];
  const health = new ForwarderHealth(queue, { uplink, clockAheadMs: null });
  return new Map(health.checks().map((check) => [check.name, check]));
}

test('a lock of another process loses nothing: health names the process, and a refused row is buried once it ends', async (t) => {
  const { queue, file, stored, refusals } = await open(t, { QUEUE_COMMIT_INTERVAL_MS: '0' });
  queue.append(appendOf(1, 5));
  await eventually(() => stored() === 5);
  const [first] = await queue.take(all);
  const locker = await otherProcess(t, 'lock', file);
  queue.bury(first?.id ?? 0, 'refused_by_stream', 'why');
  queue.append(appendOf(6, 5));
  await eventually(() => refusals() === 1, { withinMs: 20_000 });
  assert.equal(stored(), 5);
  await eventually(() => queue.state.reason?.code === 'queue_busy');
  const check = checksOf(queue).get('queue');
  assert.equal(check?.status, 'fail');
  assert.equal(check.code, 'queue_busy');
  assert.match(check.reason, new RegExp(`pid ${locker.pid} \\(.*hold-file`));
  await locker.end();
  await eventually(() => queue.state.mode === 'open' && queue.state.deadLetters === 1, { withinMs: 20_000 });
  // Nothing commits what was refused unless it is sent again.
  await sleep(500);
  assert.equal(stored(), 5);
  assert.deepEqual(queue.state.ledger, { accepted: 5, shipped: 0, queued: 4, dead: 1, evicted: 0, missed: 0 });
  queue.append(appendOf(6, 5));
  await eventually(() => stored() === 10);
  assert.equal(queue.state.ledger.accepted, 10);
});

test('a write that fails refuses all that waits for a commit: nothing that was reported as refused is committed later', async (t) => {
  const { queue, file, stored, refusals } = await open(t, { QUEUE_COMMIT_INTERVAL_MS: '6500' });
  queue.append(appendOf(1, 5));
  await eventually(() => stored() === 5);
  const [first] = await queue.take(all);
  const locker = await otherProcess(t, 'lock', file);
  let sent = 5;
  const refused = new Set<number>();
  // What was sent before a refusal was reported, and is above the watermark that it reports.
  queue.on('refused', () => {
    for (let seq = stored() + 1; seq <= sent; seq += 1) refused.add(seq);
  });
  const append = (): void => {
    queue.append(appendOf(sent + 1, 5));
    sent += 5;
  };
  // Waits for the commit interval.
  append();
  queue.bury(first?.id ?? 0, 'refused_by_stream', 'why');
  await sleep(5500);
  append();
  await locker.end();
  await eventually(() => queue.state.deadLetters === 1, { withinMs: 20_000 });
  await eventually(() => queue.state.mode === 'open');
  if (refusals() === 0) await eventually(() => stored() === sent, { withinMs: 20_000 });
  else await sleep(8000);
  const seqs = (await queue.take(all)).map(({ data }) => (JSON.parse(data) as { seq: number }).seq);
  const later = seqs.filter((seq) => seq > 5);
  assert.deepEqual(
    later.filter((seq) => refused.has(seq)),
    [],
    'committed after it was refused',
  );
  assert.equal(later.length + refused.size, sent - 5, 'what was not refused is committed');
  assert.equal(queue.state.ledger.accepted, 5 + later.length);
});

test('a queue that is locked at the start waits, says by whom, and opens once the lock is gone', async (t) => {
  const { queue, file } = await open(t, {});
  queue.append(appendOf(1, 5));
  await eventually(() => queue.state.ledger.accepted === 5);
  await queue.stop();
  const locker = await otherProcess(t, 'lock', file);
  const again = new Queue(testConfig({ DATA_DIR: path.dirname(file) }));
  await again.start();
  t.after(() => again.stop());
  assert.equal(again.state.mode, 'waiting_to_open');
  assert.equal(again.state.reason?.code, 'queue_busy');
  assert.match(again.state.reason.detail, new RegExp(`pid ${locker.pid} `));
  await locker.end();
  await eventually(() => again.state.mode === 'open', { withinMs: 20_000 });
  assert.equal(again.state.ledger.queued, 5);
});

test('a reader that pins the log never makes the queue evict or wait, and is named in health until it ends', async (t) => {
  const { queue, file, stored, refusals, evicted } = await open(t, {
    QUEUE_COMMIT_INTERVAL_MS: '0',
    QUEUE_MAX_BYTES: '8MiB',
    QUEUE_WHEN_FULL: 'evict-oldest',
  });
  queue.append(appendOf(1, 100));
  await eventually(() => stored() === 100);
  const reader = await otherProcess(t, 'read', file);
  // Accepted and shipped at once: the queue holds little, while its log grows.
  const padding = 'x'.repeat(10_000);
  let slowestMs = 0;
  for (let from = 101; from <= 3000; from += 100) {
    const append = appendOf(from, 100);
    append.rows.data = append.rows.data.map((_, index) => readingOf(from + index, { padding }));
    const startedAt = performance.now();
    queue.append(append);
    await eventually(() => stored() === from + 99, { everyMs: 2, withinMs: 30_000 });
    slowestMs = Math.max(slowestMs, performance.now() - startedAt);
    queue.acknowledge((await queue.take(all)).map(({ id }) => id));
  }
  assert.ok(statSync(`${file}-wal`).size > 20 * MiB, 'the log is pinned');
  assert.equal(evicted(), 0);
  assert.equal(queue.state.ledger.evicted, 0);
  assert.equal(refusals(), 0);
  assert.ok(slowestMs < 3000, `a commit took ${slowestMs} ms`);
  const pinned = checksOf(queue).get('queue log');
  assert.equal(pinned?.code, 'log_pinned');
  assert.match(pinned.reason, new RegExp(`pid ${reader.pid} \\(.*hold-file`));
  await reader.end();
  await eventually(
    () => {
      queue.append(appendOf(stored() + 1, 1));
      return checksOf(queue).get('queue log') === undefined;
    },
    { everyMs: 300, withinMs: 20_000 },
  );
  assert.ok(statSync(`${file}-wal`).size < 2 * MiB, 'the log was written back');
  assert.equal(queue.state.ledger.evicted, 0);
});
