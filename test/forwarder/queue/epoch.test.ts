import assert from 'node:assert/strict';
import { closeSync, openSync, readdirSync, statSync, writeSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { Queue } from '../../../forwarder/queue/queue.ts';
import { openDatabase } from '../../../service/storage/sqlite.ts';
import { eventually } from '../../support/eventually.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { testConfig } from '../../support/test-config.ts';
import { appendOf, readingOf, RUN } from './support/queue-files.ts';

/** More than the page cache holds, so that rows are read from the file. */
const EARLIER = 1200;
const LATER = 741;

function appendLarge(from: number, count: number): ReturnType<typeof appendOf> {
  const append = appendOf(from, count);
  append.rows.data = append.rows.data.map((_, index) => readingOf(from + index, { padding: 'x'.repeat(10_000) }));
  return append;
}

/** Writes the log back into the file from outside, then overwrites the whole file. */
function destroy(file: string): void {
  const other = openDatabase(file);
  other.pragma('wal_checkpoint(TRUNCATE)');
  other.close();
  const fd = openSync(file, 'r+');
  const rubbish = Buffer.alloc(64 * 1024, 0xee);
  for (let at = 0, { size } = statSync(file); at < size; at += rubbish.length)
    writeSync(fd, rubbish, 0, Math.min(rubbish.length, size - at), at);
  closeSync(fd);
}

test('after a file is lost entirely at run time, rows of the new one are shipped: nothing of the earlier one counts', async (t) => {
  const folder = tempDir(t);
  const file = path.join(folder, 'queue.db');
  const queue = new Queue(testConfig({ DATA_DIR: folder, QUEUE_COMMIT_INTERVAL_MS: '0', QUEUE_MIN_FREE_DISK_BYTES: '0' }));
  const watermarks: number[] = [];
  queue.on('refused', (reply) => void watermarks.push(reply.watermarks[0]?.stored ?? 0));
  await queue.start();
  t.after(() => queue.stop());
  for (let from = 1; from <= EARLIER; from += 100) queue.append(appendLarge(from, 100));
  await eventually(() => queue.state.ledger.accepted === EARLIER);
  const earlier = await queue.take({ maxRows: 800, maxBytes: 100_000_000 });
  assert.equal(earlier.length, 800);
  // Acknowledged before and after the file is lost.
  queue.acknowledge(earlier.slice(0, 300).map(({ id }) => id));
  await eventually(() => queue.state.ledger.shipped === 300);
  destroy(file);
  await eventually(async () => {
    if (queue.state.damage !== null) return true;
    await queue.take({ maxRows: 400, maxBytes: 100_000_000 });
    return false;
  });
  assert.ok(readdirSync(folder).some((name) => name.startsWith('queue.damaged-')));
  assert.equal(watermarks.at(-1), EARLIER, 'the watermark is known from memory');
  assert.equal(queue.state.ledger.accepted, EARLIER, 'what was accepted never decreases');
  for (let from = EARLIER + 1; from <= EARLIER + LATER; from += 100)
    queue.append(appendOf(from, Math.min(100, EARLIER + LATER + 1 - from)));
  await eventually(() => queue.state.ledger.accepted === EARLIER + LATER);
  const shippedBefore = queue.state.ledger.shipped;
  queue.acknowledge(earlier.map(({ id }) => id));
  queue.evict(
    earlier.slice(300).map(({ id }) => id),
    'test_reading',
  );
  const later = await queue.take({ maxRows: 5000, maxBytes: 100_000_000 });
  const seqs = later.map(({ data }) => (JSON.parse(data) as { seq: number }).seq);
  for (let seq = EARLIER + 1; seq <= EARLIER + LATER; seq += 1) assert.ok(seqs.includes(seq), `${RUN} ${seq} is never sent`);
  queue.append(appendOf(EARLIER + LATER + 1, 1));
  await eventually(() => queue.state.ledger.accepted === EARLIER + LATER + 1);
  const { ledger } = queue.state;
  assert.equal(ledger.shipped, shippedBefore, 'nothing of the new file was shipped yet');
  assert.equal(ledger.queued, later.length + 1);
  assert.equal(ledger.accepted, ledger.shipped + ledger.queued + ledger.dead + ledger.evicted);
});
