import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { RunAccount } from '../../../contract/run-account.ts';
import { openQueue } from '../../../forwarder/queue/open-queue.ts';
import { Queue } from '../../../forwarder/queue/queue.ts';
import type { QueueFile } from '../../../forwarder/queue/queue-file.ts';
import { RunAudit, SPANS_MAX } from '../../../forwarder/queue/run-audit.ts';
import { Watermarks } from '../../../forwarder/queue/watermarks.ts';
import { HrError } from '../../../service/errors/errors.ts';
import { openDatabase } from '../../../service/storage/sqlite.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { testConfig } from '../../support/test-config.ts';
import { appendOf, fileOf, openFile, RUN, takeFrom } from './support/queue-files.ts';

const DAY_MS = 24 * 3_600_000;

function accountIn(queue: QueueFile, from: number | null = null, run = RUN): RunAccount {
  const found = queue.showRun(run, null, from);
  assert.ok(found.kind === 'account', found.kind);
  return found.account;
}

function opened(t: TestContext, folder = tempDir(t)): QueueFile {
  const queue = openFile(folder);
  t.after(() => queue.close());
  return queue;
}

const counts = { shipped: 0, queued: 0, dead: 0, evicted: 0, missed: 0, unknown: 0 };
const ALL = { maxRows: 1_000_000, maxBytes: Number.MAX_SAFE_INTEGER };

function withFile(t: TestContext, name: string): string {
  const folder = path.join(tempDir(t), 'data');
  mkdirSync(folder);
  copyFileSync(fileURLToPath(new URL(`../../data/${name}`, import.meta.url)), fileOf(folder));
  return folder;
}

test('a run that ships in order is one span, whatever the number of commits', (t) => {
  const queue = opened(t);
  for (let seq = 1; seq <= 300; seq += 1) {
    queue.commit([appendOf(seq, 1)]);
    queue.shipped(takeFrom(queue, 1, 1_000_000).ids);
  }
  queue.commit([]);
  const account = accountIn(queue);
  assert.deepEqual(account.spans, [{ from: 1, to: 300, outcome: 'shipped', cause: null }]);
  assert.equal(account.verdict, 'complete from 1 to 300; the run is open');
  assert.equal(account.complete, true);
});

test('forty runs that take turns keep their accounts, beyond what the state row holds, and across a restart', (t) => {
  const folder = tempDir(t);
  const before = openFile(folder);
  const runs = Array.from({ length: 40 }, (_, index) => ({
    gateway: 'test-box',
    run: (index + 16).toString(16).padStart(16, '0'),
  }));
  for (let seq = 1; seq <= 5; seq += 1)
    for (const { gateway, run } of runs) {
      before.commit([
        {
          rows: { data: ['{}'], devices: ['d'], sources: [0] },
          numbered: [{ gateway, run, first: seq, count: 1 }],
          dead: [],
          watermarks: [{ gateway, run, stored: seq, missed: {} }],
        },
      ]);
      before.shipped(takeFrom(before, 1, 1_000_000).ids);
    }
  before.commit([]);
  before.close();
  const queue = opened(t, folder);
  for (const { run } of runs)
    assert.deepEqual(accountIn(queue, null, run).spans, [{ from: 1, to: 5, outcome: 'shipped', cause: null }], run);
});

test('the verdict names what is missing, and why', (t) => {
  const queue = opened(t);
  queue.commit([appendOf(1, 8)]);
  const { ids } = takeFrom(queue, 8, 1_000_000);
  queue.shipped(ids.slice(0, 3));
  queue.evict(ids.slice(3, 5), 'test_reading');
  queue.bury(ids[5] ?? 0, 'refused_by_stream', '');
  queue.commit([]);
  const { verdict, complete, causes } = accountIn(queue);
  assert.equal(
    verdict,
    'missing: 3 readings of 8: 4 to 5 (evicted: test_reading), 6 (dead: refused_by_stream); 2 readings queued; the run is open',
  );
  assert.equal(complete, false);
  assert.deepEqual(causes, { dead: { refused_by_stream: 1 }, evicted: { test_reading: 2 }, missed: {} });
});

test('beyond the limit of spans the oldest are only counted, and an answer lists the others in pages', (t) => {
  const queue = opened(t);
  const rows = 30_000;
  queue.commit([appendOf(1, rows)]);
  const ids = new Float64Array(rows);
  for (let taken = 0; taken < rows;) {
    const next = takeFrom(queue, rows, ALL.maxBytes).ids;
    assert.ok(next.length > 0, `${taken} taken`);
    ids.set(next, taken);
    taken += next.length;
  }
  queue.shipped(ids.filter((_, index) => index % 2 === 0));
  queue.evict(
    ids.filter((_, index) => index % 2 === 1),
    'test_reading',
  );
  queue.commit([]);
  const first = accountIn(queue);
  assert.deepEqual(first.counts, { ...counts, shipped: rows / 2, evicted: rows / 2 });
  const countedTo = first.counted_only?.to ?? 0;
  assert.ok(countedTo >= rows - SPANS_MAX - 1, `counted to ${countedTo}`);
  assert.equal((first.counted_only?.counts.shipped ?? 0) + (first.counted_only?.counts.evicted ?? 0), countedTo);
  const spans = [...first.spans];
  for (let next = first.next_from; next !== null;) {
    const page = accountIn(queue, next);
    spans.push(...page.spans);
    next = page.next_from;
  }
  assert.ok(spans.length <= SPANS_MAX + 1 && spans.length > SPANS_MAX / 2, `${spans.length} spans`);
  for (const [index, { from, to, outcome }] of spans.entries()) {
    assert.equal(from, countedTo + index + 1);
    assert.equal(to, from);
    assert.equal(outcome, from % 2 === 1 ? 'shipped' : 'evicted');
  }
  assert.equal(spans.at(-1)?.to, rows);
});

test('runs of a file of version 1.0.0 begin with numbers only, and go on by seq', (t) => {
  const queue = opened(t, withFile(t, 'queue-schema-1.db'));
  assert.equal(queue.contents().damage, null);
  const run = queue.watermarks[0]?.run ?? '';
  const before = accountIn(queue, null, run);
  assert.deepEqual(before.counted_only, { from: 1, to: 40, counts: { ...counts, queued: 30, unknown: 10 } });
  assert.deepEqual(before.spans, []);
  queue.shipped(takeFrom(queue, 100, 1_000_000).ids);
  queue.commit([]);
  const after = accountIn(queue, null, run);
  assert.deepEqual(after.counts, { ...counts, shipped: 30, unknown: 10 });
  assert.equal(queue.contents().ledger.shipped, 40);
  assert.match(after.verdict, /1 to 40 counted only; unknown what became of 10/);
});

test('runs of a file from before the audit begin with numbers only: queued, dead and missed are known', (t) => {
  const queue = opened(t, withFile(t, 'queue-schema-3.db'));
  assert.equal(queue.contents().damage, null);
  assert.deepEqual(accountIn(queue).counts, { ...counts, queued: 12, dead: 1, missed: 5, unknown: 12 });
  assert.deepEqual(accountIn(queue, null, 'feedfeedfeedfeed').counts, { ...counts, queued: 2, dead: 1, unknown: 2 });
  queue.shipped(takeFrom(queue, 100, 1_000_000).ids);
  queue.discardDead(null);
  queue.commit([{ ...appendOf(31, 2), watermarks: [{ gateway: 'test-box', run: RUN, stored: 32, missed: { outbox_full: 5 } }] }]);
  const after = accountIn(queue);
  assert.deepEqual(after.counts, { ...counts, shipped: 12, queued: 2, evicted: 1, missed: 5, unknown: 12 });
  assert.deepEqual(after.spans, [{ from: 31, to: 32, outcome: 'queued', cause: null }]);
  assert.deepEqual(accountIn(queue, null, 'feedfeedfeedfeed').counts, { ...counts, shipped: 2, evicted: 1, unknown: 2 });
});

test('an account expires after AUDIT_DAYS, counted from a day without use, but not while a reading of it waits', (t) => {
  const folder = tempDir(t);
  const queue = openFile(folder);
  queue.commit([appendOf(1, 3)]);
  queue.close();
  const file = openQueue(fileOf(folder), { gateway: 'test-box', mayOpen: () => true });
  assert.ok(file !== undefined);
  const { database, state } = file;
  t.after(() => database.close());
  const audit = new RunAudit(database, new Watermarks(database));
  const isKnown = (): boolean => audit.find(RUN, null).length === 1;
  const expireAfter = (days: number): void => audit.expire(state, Date.now() + days * DAY_MS, 90 * DAY_MS);
  expireAfter(1000);
  assert.ok(isKnown(), 'readings are queued');
  const [run] = audit.find(RUN, null);
  audit.removed(state, { count: 3, spans: [{ run: run?.id ?? 0, first: 1, last: 3 }], unnumbered: [] }, 'shipped');
  expireAfter(90.9);
  assert.ok(isKnown());
  expireAfter(91.1);
  assert.ok(!isKnown());
  assert.equal(database.prepare('SELECT count(*) FROM spans').pluck().get(), 0);
});

test('a reader that has reported a run finds what changed since, below what was reported too', (t) => {
  const queue = opened(t);
  const run = { gateway: 'test-box', run: RUN };
  assert.equal(queue.runSpans(run, 0, 100), null);
  queue.commit([appendOf(1, 10)]);
  const { ids } = takeFrom(queue, 10, 1_000_000);
  queue.bury(ids[4] ?? 0, 'refused_by_stream', '');
  queue.shipped(ids.slice(0, 4));
  queue.shipped(ids.slice(5, 8));
  queue.commit([]);
  const shipped = { outcome: 'shipped', cause: null } as const;
  const first = queue.runSpans(run, 0, 8);
  assert.deepEqual(first?.spans, [
    { from: 1, to: 4, ...shipped },
    { from: 5, to: 5, outcome: 'dead', cause: 'refused_by_stream' },
    { from: 6, to: 8, ...shipped },
  ]);
  assert.deepEqual([first.upTo, first.isClosed, first.hasMore], [10, false, false]);
  queue.shipped(ids.slice(8));
  queue.commit([]);
  assert.deepEqual(queue.runSpans(run, first.revision, 10)?.spans, [{ from: 6, to: 10, ...shipped }], 'only the tail has grown');
  queue.discardDead(null);
  assert.deepEqual(queue.runSpans(run, first.revision, 5)?.spans, [{ from: 5, to: 5, outcome: 'evicted', cause: 'discarded' }]);
});

test('a span with a wrong checksum is never used: what it said is unknown afterwards, and the readings stay', (t) => {
  const folder = tempDir(t);
  const before = openFile(folder);
  before.commit([appendOf(1, 10)]);
  const { ids } = takeFrom(before, 10, 1_000_000);
  before.evict(ids.slice(0, 2), 'test_reading');
  before.shipped(ids.slice(2, 6));
  before.commit([]);
  before.close();
  const database = openDatabase(fileOf(folder));
  assert.equal(database.prepare("UPDATE spans SET code = 'shipped' WHERE first = 1").run().changes, 1);
  database.close();
  const queue = opened(t, folder);
  assert.match(queue.contents().damage?.detail ?? '', /span 1 of run 1 has a wrong checksum/);
  const { spans } = accountIn(queue);
  assert.deepEqual(
    spans.map(({ from, to, outcome }) => [from, to, outcome]),
    [
      [1, 2, 'unknown'],
      [3, 6, 'shipped'],
      [7, 10, 'queued'],
    ],
  );
});

test('the digits of a run alone do not name it if two gateways have it', async (t) => {
  const queue = new Queue(testConfig({ DATA_DIR: tempDir(t) }));
  t.after(() => queue.stop());
  await queue.start();
  await assert.rejects(queue.showRun({ run: RUN }), (error) => error instanceof HrError && error.code === 'run_unknown');
  for (const gateway of ['test-box', 'other-box'])
    queue.append({
      rows: { data: ['{}'], devices: ['d'], sources: [0] },
      numbered: [{ gateway, run: RUN, first: 1, count: 1 }],
      dead: [],
      watermarks: [{ gateway, run: RUN, stored: 1, missed: {} }],
    });
  await new Promise((resolve) => queue.once('committed', resolve));
  await assert.rejects(
    queue.showRun({ run: RUN }),
    (error) => error instanceof HrError && error.code === 'run_ambiguous' && /test-box, other-box/.test(error.detail),
  );
  assert.equal((await queue.showRun({ run: RUN, gateway: 'other-box' })).gateway, 'other-box');
  const [row] = await queue.take(ALL);
  queue.acknowledge([row?.id ?? 0]);
  assert.equal((await queue.showRun({ run: RUN, gateway: 'test-box' })).verdict, 'complete from 1 to 1; the run is open');
});
