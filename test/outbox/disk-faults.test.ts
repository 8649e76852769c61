import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { outboxCheck } from '../../outbox/outbox-report.ts';
import { eventually } from '../support/eventually.ts';
import { tempDir } from '../support/temp-dir.ts';
import { DiskBench, seqsThrough } from './support/disk-bench.ts';
import { DISK_CALLS, type DiskCall, type DiskFault } from './support/faulty-disk.ts';

const sleep = async (ms: number): Promise<void> => await new Promise((resolve) => setTimeout(resolve, ms));

/** An outbox that has spilled readings to a disk that works. */
async function spilled(
  t: TestContext,
  count: number,
  options: { memoryMax?: number } = {},
): Promise<DiskBench & { folder: string }> {
  const folder = tempDir(t);
  const bench = new DiskBench(t, { folder, ...options });
  await bench.outbox.start();
  await bench.add(count);
  await eventually(() => bench.outbox.status().spilled === count);
  return Object.assign(bench, { folder });
}

/** Every reading is stored or missed for a reason that is known, by seq; those up to `safe` are stored. */
async function assertDelivered(bench: DiskBench, safe: number): Promise<void> {
  const { outbox, forwarder } = bench;
  await eventually(() => outbox.held === 0 && outbox.watermark === outbox.last, { withinMs: 20_000, what: 'all is settled' });
  const { droppedSeqs } = bench;
  const stored = new Set(forwarder.seqs(outbox.run));
  assert.deepEqual(
    seqsThrough(safe).filter((seq) => !stored.has(seq)),
    [],
    'what was on disk before the fault is stored',
  );
  const missed = Object.values(forwarder.missedBy(outbox.run)).flat();
  assert.deepEqual(
    [...stored, ...missed].sort((a, b) => a - b),
    seqsThrough(outbox.last),
  );
  assert.deepEqual(missed, droppedSeqs, 'the forwarder records exactly what was dropped');
  assert.equal(outbox.status().dropped, droppedSeqs.length);
}

test('4,500 spilled readings outlive 8 s of EIO, however many readings arrive meanwhile', async (t) => {
  const bench = await spilled(t, 4500);
  bench.disk.fault = { calls: ['write', 'sync'], code: 'EIO' };
  const endMs = performance.now() + 8000;
  while (performance.now() < endMs) {
    await bench.add(20);
    await sleep(30);
    assert.equal(bench.outbox.status().spilled, 4500);
  }
  const check = bench.outbox.checks().find(({ name }) => name === 'outbox');
  assert.equal(check?.code, 'outbox_disk_failed');
  assert.match(check.reason, /outbox disk: EIO \(write\) for \d+ s; 4500 readings on disk kept, \d+ in memory only$/);
  assert.ok(bench.droppedSeqs.length > 0 && bench.dropped.every(({ cause }) => cause === 'disk_failed'));
  bench.disk.fault = undefined;
  await bench.add(10);
  bench.outbox.up();
  await assertDelivered(bench, 4500);
});

test('a read that fails once costs nothing, and the file stays', async (t) => {
  const bench = await spilled(t, 1000);
  bench.disk.fault = { calls: ['read'], code: 'EIO', times: 1 };
  bench.outbox.up();
  await assertDelivered(bench, 1000);
  assert.equal(bench.disk.failed, 1);
  assert.deepEqual(bench.droppedSeqs, []);
});

test('a disk without space costs the oldest readings, and only once memory is full', async (t) => {
  const bench = await spilled(t, 1000);
  bench.disk.fault = { calls: ['write'], code: 'ENOSPC', half: true };
  await bench.add(90);
  await sleep(200);
  assert.deepEqual(bench.droppedSeqs, [], 'memory has room');
  await bench.add(200);
  await eventually(() => bench.droppedSeqs.length > 0);
  assert.deepEqual(bench.droppedSeqs, seqsThrough(bench.droppedSeqs.length), 'the oldest');
  assert.ok(bench.dropped.every(({ cause }) => cause === 'outbox_full'));
  bench.disk.fault = undefined;
  bench.outbox.up();
  await assertDelivered(bench, 0);
});

test('a failed sync is not repeated: the readings are written again, to a new file', async (t) => {
  const bench = await spilled(t, 500);
  const filesBefore = readdirSync(bench.folder).length;
  bench.disk.fault = { calls: ['sync'], code: 'EIO', times: 1 };
  await bench.add(20);
  await eventually(() => bench.outbox.status().spilled === 520);
  assert.equal(readdirSync(bench.folder).length, filesBefore + 1);
});

test('files whose removal fails stay, are removed when it succeeds, and nothing is delivered twice', async (t) => {
  const bench = await spilled(t, 500);
  bench.disk.fault = { calls: ['remove'], code: 'EROFS' };
  bench.outbox.up();
  await eventually(() => bench.outbox.watermark === 500);
  await eventually(() => bench.outbox.checks().some(({ code }) => code === 'spill_not_removed'));
  bench.disk.fault = undefined;
  await eventually(() => readdirSync(bench.folder).length === 0);
  assert.deepEqual(bench.forwarder.seqs(bench.outbox.run), seqsThrough(500));
});

test('reads that fail for a while fail a check that says what is kept; other runs are delivered meanwhile', async (t) => {
  const first = await spilled(t, 500);
  first.outbox.down();
  await first.outbox.stop();
  const bench = new DiskBench(t, { folder: first.folder }, first.forwarder);
  bench.disk.fault = { calls: ['read'], code: 'EIO' };
  await bench.outbox.start();
  bench.outbox.up();
  await bench.add(10);
  await eventually(() => bench.outbox.watermark === 10);
  await eventually(() => bench.outbox.checks().some(({ code }) => code === 'spill_unreadable'));
  bench.disk.fault = undefined;
  await eventually(() => first.forwarder.seqs(first.outbox.run).length === 500 && bench.outbox.held === 0);
  assert.ok(bench.outbox.checks().every(({ status }) => status === 'ok'));
});

test('health says what fails on the disk, what is kept, and what to do about it', () => {
  const state = { held: 0, window: 1000, dropped: { outbox_full: 0, disk_failed: 0, damaged: 0 }, droppedAgoMs: 0 };
  const trouble = { operation: 'write' as const, code: 'EROFS', forMs: 8000, onDisk: 4500, inMemory: 120 };
  const failing = outboxCheck({ ...state, trouble });
  assert.equal(failing.status, 'warn');
  assert.equal(failing.code, 'spill_failed');
  assert.equal(failing.reason, 'outbox disk: EROFS (write) for 8 s; 4500 readings on disk kept, 120 in memory only');
  assert.match(failing.hint, /read-only/);
  assert.match(outboxCheck({ ...state, trouble: { ...trouble, code: 'ENOSPC' } }).hint, /Free space/);
  assert.equal(outboxCheck({ ...state, trouble: { ...trouble, operation: 'read', forMs: 11_000 } }).status, 'fail');
  const lost = outboxCheck({ ...state, dropped: { ...state.dropped, disk_failed: 7 }, trouble });
  assert.equal(lost.code, 'outbox_disk_failed');
  assert.equal(lost.status, 'fail');
  assert.match(lost.reason, /^7 readings.*; outbox disk: EROFS/);
  const longAgo = outboxCheck({ ...state, dropped: { ...state.dropped, damaged: 7 }, droppedAgoMs: 600_000, trouble });
  assert.equal(longAgo.code, 'spill_failed', 'what fails now is worse');
});

const CODES: readonly DiskFault['code'][] = ['EIO', 'ENOSPC', 'EROFS', 'EDQUOT', 'short'];

/** A fault of one call in the life of an outbox: while it spills, delivers and ends; `forEver`: until the process has ended. */
async function outlives(
  t: TestContext,
  call: DiskCall,
  code: DiskFault['code'],
  kind: 'once' | 'a while' | 'for ever',
): Promise<void> {
  // Fewer than memory holds: a fault that ends, or ENOSPC, costs nothing.
  const bench = await spilled(t, 300, { memoryMax: 400 });
  const { folder, forwarder, outbox } = bench;
  bench.disk.fault = { calls: [call], code, half: true, ...(kind === 'once' ? { times: 1 } : {}) };
  await bench.add(100);
  if (kind === 'for ever') {
    // The next process has a disk that works: what was on it, or what the first one could write, is there.
    await outbox.stop();
    const next = new DiskBench(t, { folder }, forwarder);
    await next.outbox.start();
    next.outbox.up();
    await eventually(() => new Set(forwarder.seqs(outbox.run)).size >= 300, { withinMs: 20_000 });
    await eventually(() => next.outbox.held === 0 && readdirSync(folder).length === 0, { withinMs: 20_000 });
    assert.deepEqual(forwarder.seqs(outbox.run).slice(0, 300), seqsThrough(300));
    return;
  }
  outbox.up();
  await sleep(kind === 'once' ? 0 : 300);
  bench.disk.fault = undefined;
  await assertDelivered(bench, 400);
  assert.deepEqual(bench.droppedSeqs, []);
}

for (const kind of ['once', 'a while', 'for ever'] as const)
  test(`each file operation fails with each error, ${kind}: nothing that was on disk is lost, and it recovers unaided`, async (t) => {
    await Promise.all(
      DISK_CALLS.flatMap((call) =>
        CODES.map(async (code) => {
          try {
            await outlives(t, call, code, kind);
          } catch (error) {
            throw new Error(`${call} fails with ${code} ${kind}`, { cause: error });
          }
        }),
      ),
    );
  });
