/** Rows that are shipped or evicted, although the commit that deletes them has not been made yet. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { QueueReply } from '../../../forwarder/queue/queue-messages.ts';
import { QueueThread } from '../../../forwarder/queue/queue-thread.ts';
import { eventually } from '../../support/eventually.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { appendOf, contentsOf, copyOf, fileOf, openFile, RUN, takeFrom } from './support/queue-files.ts';

const MAX_BYTES = 256 * 1024;

test('settled rows are neither taken nor evicted, and count once: their deletion changes no number', (t) => {
  const queue = openFile(tempDir(t), { maxBytes: MAX_BYTES });
  t.after(() => queue.close());
  for (let from = 1; queue.pageBytes() <= MAX_BYTES; from += 100) queue.commit([appendOf(from, 100)]);
  const { ids, devices } = takeFrom(queue, 100, 10_000_000);
  // A row that comes back makes the eviction begin at the oldest row again, where the settled ones are.
  const [older] = takeFrom(queue, 1, 10_000_000).ids;
  assert.ok(older !== undefined, 'a row more is taken');
  queue.readAhead.putBack(devices[0] ?? '', [older]);
  queue.shipped(ids.slice(0, 80));
  queue.evict(ids.slice(80), 'test_reading');
  const { accepted } = queue.contents().ledger;
  queue.evictOverLimit();
  const before = queue.contents();
  const full = before.causes.evicted['queue_full'] ?? 0;
  assert.ok(full > 0, 'the limit evicted rows');
  assert.deepEqual(
    { ...before.ledger },
    { accepted, shipped: 80, queued: accepted - 100 - full, dead: 0, evicted: 20 + full, missed: 0 },
  );
  queue.readAhead.release(devices[0] ?? '');
  const taken: number[] = [];
  for (let part = takeFrom(queue, 10_000, 100_000_000); part.ids.length > 0; part = takeFrom(queue, 10_000, 100_000_000))
    taken.push(...part.ids);
  assert.equal(taken.length, accepted - 100 - full, 'all that is queued, and nothing else');
  assert.ok(Math.min(...taken) > Math.max(...ids), 'the settled rows are the oldest');
  queue.commit([]);
  assert.deepEqual(queue.contents().ledger, before.ledger);
  const found = queue.showRun(RUN, 'test-box', null);
  assert.ok(found.kind === 'account', 'the run has an account');
  const { shipped, queued, evicted } = found.account.counts;
  assert.deepEqual({ shipped, queued, evicted }, { shipped: 80, queued: before.ledger.queued, evicted: 20 + full });
});

test('a kill before the deletion is recorded: the rows are queued again, by number and by identity', (t) => {
  const folder = tempDir(t);
  const queue = openFile(folder);
  queue.commit([appendOf(1, 100)]);
  queue.shipped(takeFrom(queue, 60, 10_000_000).ids);
  assert.equal(queue.contents().ledger.queued, 40);
  const killed = copyOf(folder, path.join(tempDir(t), 'killed'));
  queue.close();
  const next = openFile(killed);
  t.after(() => next.close());
  const { accepted, shipped, queued } = next.contents().ledger;
  assert.deepEqual({ accepted, shipped, queued }, { accepted: 100, shipped: 0, queued: 100 });
  assert.equal(takeFrom(next, 1000, 10_000_000).ids.length, 100);
});

/** The thread of a queue that was killed with 100 rows, which takes and acknowledges the first 10 of them. */
async function afterUncleanStart(t: TestContext, beforeAcknowledging: () => void): Promise<() => number> {
  const from = tempDir(t);
  const queue = openFile(from);
  queue.commit([appendOf(1, 100)]);
  const folder = copyOf(from, path.join(tempDir(t), 'killed'));
  queue.close();
  const replies: QueueReply[] = [];
  const options = { gateway: 'test-box', commitIntervalMs: 0, maxBytes: 1e9, minFreeDiskBytes: 0, auditDays: 90 };
  const thread = new QueueThread(
    { file: fileOf(folder), ...options, whenFull: 'refuse', opening: new SharedArrayBuffer(4) },
    { postMessage: (reply) => void replies.push(reply), close: () => {} },
  );
  assert.ok(await thread.start(), 'it is open');
  t.after(() => thread.close());
  thread.handle({ kind: 'take', id: 1, maxRows: 10, maxBytes: 1_000_000 });
  const taken = await eventually(() => replies.find((reply) => reply.kind === 'taken'), { what: 'rows are taken' });
  beforeAcknowledging();
  thread.handle({ kind: 'acknowledge', ids: taken.rows.ids });
  return () => contentsOf(copyOf(folder, path.join(tempDir(t), 'image'))).rows.length;
}

test('after an unclean start shipped rows are deleted at once, but only for a minute', async (t) => {
  const rowsAtOnce = await afterUncleanStart(t, () => {});
  await eventually(() => rowsAtOnce() === 90, { withinMs: 3000, what: 'the rows are deleted at once' });
  const rowsLater = await afterUncleanStart(t, () => {
    const started = performance.now.bind(performance);
    t.mock.method(performance, 'now', () => started() + 61_000);
  });
  await sleep(1500);
  assert.equal(rowsLater(), 100, 'their deletion is not urgent any more');
});
