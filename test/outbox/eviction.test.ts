import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { encodeEvicted } from '../../outbox/spill-lines.ts';
import { eventually } from '../support/eventually.ts';
import { tempDir } from '../support/temp-dir.ts';
import { DiskBench, seqsThrough, type DiskBenchOptions } from './support/disk-bench.ts';
import { DISK_CALLS, type DiskFault } from './support/faulty-disk.ts';

/** The least that OUTBOX_MAX_BYTES may be. */
const OVER_LIMIT = { maxBytes: 65_536 };

/** In parts: what waits for the disk is one write, in one file. */
async function spill(bench: DiskBench, count: number): Promise<void> {
  const before = bench.outbox.status().spilled;
  for (let added = 0; added < count;) {
    const part = Math.min(50, count - added);
    await bench.add(part);
    added += part;
    await eventually(() => bench.outbox.status().spilled === before + added, { what: `${added} are spilled` });
  }
}

async function spilled(t: TestContext, count: number, options: Partial<DiskBenchOptions> = {}): Promise<DiskBench> {
  const bench = new DiskBench(t, { folder: path.join(tempDir(t), 'outbox'), ...options });
  await bench.outbox.start();
  await spill(bench, count);
  return bench;
}

/** More than memory holds, at once: the first failed write finds memory full. */
function burst({ outbox }: DiskBench, count: number): void {
  for (let added = 0; added < count; added += 1)
    outbox.add({ timestamp: '2026-11-22T19:00:00.123Z', heart_rate: 72, device: 'strap' });
}

test('of one write that is larger than OUTBOX_MAX_BYTES only the oldest readings are evicted', async (t) => {
  const bench = await spilled(t, 0, OVER_LIMIT);
  burst(bench, 600);
  await eventually(() => bench.droppedSeqs.length > 0 && bench.outbox.status().spilled > 0, { what: 'the limit was reached' });
  const bytes = readdirSync(bench.folder).reduce((sum, name) => sum + readFileSync(path.join(bench.folder, name)).length, 0);
  assert.ok(bytes > OVER_LIMIT.maxBytes / 2, `${bytes} bytes are on disk`);
  assert.deepEqual(bench.droppedSeqs, seqsThrough(bench.droppedSeqs.length), 'the oldest');
  assert.ok(bench.droppedSeqs.length < 400, `${bench.droppedSeqs.length} of 600 were evicted`);
});

for (const code of ['ENOSPC', 'EIO', 'EDQUOT'] as const)
  test(`one write that fails with ${code} while memory is full costs nothing: it is tried again before anything is dropped`, async (t) => {
    const bench = await spilled(t, 300);
    bench.disk.fault = { calls: ['write'], code, times: 1, half: true };
    burst(bench, 300);
    await eventually(() => bench.outbox.status().spilled === 600, { what: 'all are on disk' });
    assert.equal(bench.disk.failed, 1, 'the write failed');
    assert.deepEqual(bench.droppedSeqs, []);
  });

test('settled files are removed before any reading is evicted, although their last removal has just failed', async (t) => {
  const bench = await spilled(t, 300, { diskRetryMs: 60_000 });
  bench.disk.fault = { calls: ['remove'], code: 'EIO', times: 1 };
  bench.outbox.up();
  await eventually(() => bench.outbox.watermark === 300, { what: 'all are stored' });
  await eventually(() => bench.outbox.checks().some(({ code }) => code === 'spill_not_removed'), { what: 'a removal failed' });
  bench.outbox.down();
  await eventually(() => bench.outbox.held === 0, { what: 'nothing is held' });
  bench.disk.fault = { calls: ['write'], code: 'ENOSPC', times: 1 };
  burst(bench, 300);
  await eventually(() => bench.disk.removed.some((name) => name.endsWith('.spill')), { what: 'settled files are removed' });
  await eventually(() => bench.outbox.status().spilled === 300, { what: 'all are on disk' });
  assert.deepEqual(bench.droppedSeqs, []);
});

test('an eviction that gives no room is not repeated at once: what is on disk stays', async (t) => {
  const bench = await spilled(t, 600, { maxBytes: 262_144, diskRetryMs: 60_000 });
  bench.disk.fault = { calls: ['write'], code: 'ENOSPC' };
  burst(bench, 300);
  await eventually(() => bench.droppedSeqs.length > 0, { what: 'memory is full' });
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.equal(bench.disk.removed.filter((name) => name.endsWith('.spill') && name.includes('-00000001')).length, 1);
  const onDisk = bench.droppedSeqs.filter((seq) => seq <= 600);
  assert.deepEqual(onDisk, seqsThrough(onDisk.length), 'the oldest file');
  assert.ok(onDisk.length > 0 && onDisk.length < 300, `${onDisk.length} of 600 were evicted`);
  assert.ok(bench.dropped.every(({ cause }) => cause === 'outbox_full'));
});

test('a disk that refuses writes with ENOSPC although it has room: nothing on it is evicted', async (t) => {
  const bench = await spilled(t, 300);
  bench.disk.fault = { calls: ['write', 'sync'], code: 'ENOSPC', hasRoom: true };
  burst(bench, 300);
  await eventually(() => bench.droppedSeqs.length > 0, { what: 'memory is full' });
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.equal(bench.outbox.status().spilled, 300);
  assert.ok(
    bench.dropped.every(({ from, cause }) => from > 300 && cause === 'disk_failed'),
    JSON.stringify(bench.dropped),
  );
});

test('what was evicted is counted by the next process, although the run has no other file', async (t) => {
  const bench = await spilled(t, 50);
  let isKilled = false;
  bench.disk.onRemove = (name) => {
    if (!name.startsWith(`${bench.outbox.run}-00000001`)) return;
    bench.disk.fault = undefined;
    bench.disk.onCreate = (next) => {
      // Killed when it takes the room for new readings: it reaches its disk no more.
      if (!next.endsWith('.spill')) return;
      isKilled = true;
      bench.disk.fault = { calls: DISK_CALLS, code: 'EIO' };
    };
  };
  bench.disk.fault = { calls: ['write'], code: 'ENOSPC', name: '.spill' };
  burst(bench, 300);
  await eventually(() => isKilled, { what: 'the only file is evicted' });
  const next = new DiskBench(t, { folder: bench.folder });
  await next.outbox.start();
  next.outbox.up();
  const evicted = (): number[] => next.forwarder.missedBy(bench.outbox.run)['outbox_full'] ?? [];
  await eventually(() => evicted().length > 0, { what: 'the next process reports it' });
  assert.deepEqual(evicted().slice(0, 50), seqsThrough(50));
});

/**
 * Kills an outbox on a full disk right after it evicted its only file, of 50 readings: the first process after it reports them, the second
 * none.
 */
async function killedAfterEviction(t: TestContext, full: DiskFault): Promise<void> {
  const bench = await spilled(t, 50);
  let isKilled = false;
  bench.disk.onRemove = (name) => {
    if (!name.startsWith(`${bench.outbox.run}-00000001`)) return;
    isKilled = true;
    bench.disk.fault = { calls: DISK_CALLS, code: 'EIO' };
  };
  bench.disk.fault = full;
  burst(bench, 300);
  await eventually(() => isKilled, { what: 'the only file is evicted' });
  for (const start of ['first', 'second']) {
    const next = new DiskBench(t, { folder: bench.folder });
    await next.outbox.start();
    next.outbox.up();
    const evicted = (): number[] => next.forwarder.missedBy(bench.outbox.run)['outbox_full'] ?? [];
    if (start === 'first') {
      await eventually(() => evicted().length > 0, { what: 'the next process reports it' });
      assert.deepEqual(evicted(), seqsThrough(50));
      await eventually(() => next.outbox.held === 0 && readdirSync(bench.folder).length === 0, { what: 'the mark is removed' });
    } else assert.deepEqual(evicted(), []);
    await next.outbox.stop();
  }
}

test('a kill right after an eviction took the readings, before anything recorded it, loses no count', async (t) =>
  await killedAfterEviction(t, { calls: ['write'], code: 'ENOSPC', name: '.spill' }));

test('a kill in the middle of an eviction, before it took the readings: the next process delivers them', async (t) => {
  const bench = await spilled(t, 50);
  bench.disk.fault = { calls: ['write', 'empty'], code: 'ENOSPC', name: '.spill' };
  burst(bench, 300);
  const isMarked = (): boolean => readdirSync(bench.folder).some((name) => name.endsWith('.evicted-1-50'));
  await eventually(isMarked, { what: 'the only file is about to be evicted' });
  bench.disk.fault = { calls: DISK_CALLS, code: 'EIO' };
  const next = new DiskBench(t, { folder: bench.folder });
  await next.outbox.start();
  next.outbox.up();
  await eventually(() => next.forwarder.seqs(bench.outbox.run).length === 50, { what: 'all are delivered' });
  assert.deepEqual(next.forwarder.missedBy(bench.outbox.run), {});
});

/** Flips a bit in the reading of seq 7. */
function damage(file: string): void {
  const bytes = readFileSync(file);
  const at = bytes.indexOf(' 7 {"timestamp"') + 30;
  bytes[at] = (bytes[at] ?? 0) ^ 0x04;
  writeFileSync(file, bytes);
}

/** The run of an earlier process, in at least three files. */
async function severalFiles(t: TestContext): Promise<{ folder: string; run: string; names: string[] }> {
  const { outbox, folder } = await spilled(t, 300, { maxBytes: 65_536, memoryMax: 20 });
  await outbox.stop();
  const names = readdirSync(folder)
    .filter((name) => name.endsWith('.spill'))
    .sort();
  assert.ok(names.length > 2, `${names.length} files`);
  return { folder, run: outbox.run, names };
}

/** A file whose reading of seq 7 is damaged, left by an earlier process, and an outbox that has found the damage. */
async function damagedRun(t: TestContext, options: Partial<DiskBenchOptions> = {}): Promise<{ bench: DiskBench; run: string }> {
  const first = await spilled(t, 50);
  await first.outbox.stop();
  damage(path.join(first.folder, readdirSync(first.folder).find((name) => name.endsWith('.spill')) ?? ''));
  const bench = new DiskBench(t, { folder: first.folder, ...options });
  await bench.outbox.start();
  await eventually(() => bench.outbox.status().dropped === 1 && bench.outbox.held === 49, { what: 'the damage is found' });
  return { bench, run: first.outbox.run };
}

for (const isWithoutNames of [false, true])
  test(`no damaged file is evicted for room${isWithoutNames ? ', without room for names' : ''}: it would give none`, async (t) => {
    const { names, folder, run } = await severalFiles(t);
    damage(path.join(folder, names[0] ?? ''));
    const bench = new DiskBench(t, { folder });
    await bench.outbox.start();
    await eventually(() => bench.outbox.status().dropped === 1, { what: 'the damage is found' });
    await spill(bench, 50);
    bench.disk.fault = { calls: isWithoutNames ? ['write', 'create', 'rename'] : ['write'], code: 'ENOSPC' };
    burst(bench, 300);
    await eventually(() => bench.disk.removed.includes(names[1] ?? ''), { what: 'the file behind it is evicted' });
    bench.disk.fault = undefined;
    bench.outbox.up();
    await eventually(() => bench.outbox.held === 0, { what: 'all is settled' });
    const { damaged, outbox_full: full = [], ...others } = bench.forwarder.missedBy(run);
    assert.deepEqual([damaged, others], [[7], {}]);
    const stored = bench.forwarder.seqs(run);
    assert.deepEqual(
      stored.slice(0, 20),
      seqsThrough(21).filter((seq) => seq !== 7),
      'what is whole of it is delivered',
    );
    assert.deepEqual(
      [7, ...full, ...stored].sort((x, y) => x - y),
      seqsThrough(300),
    );
  });

test('settled files are removed although a damaged one before them cannot get its new name', async (t) => {
  const { names, folder, run } = await severalFiles(t);
  damage(path.join(folder, names[0] ?? ''));
  const bench = new DiskBench(t, { folder: folder });
  bench.disk.fault = { calls: ['rename'], code: 'ENOSPC', name: '.spill' };
  await bench.outbox.start();
  bench.outbox.up();
  // The newest one says what may have been sent.
  const kept = [names[0], names.at(-1)];
  const files = (): string[] => readdirSync(folder).filter((name) => name.endsWith('.spill'));
  await eventually(() => files().length === 2, { what: 'those between are removed' });
  assert.deepEqual(files().sort(), kept);
  bench.disk.fault = undefined;
  await eventually(() => readdirSync(folder).every((name) => name.includes('.damaged-')), { what: 'it is set aside' });
  assert.deepEqual(bench.forwarder.missedBy(run), { damaged: [7] });
});

test('a file that does not say what it held, and cannot be renamed, holds up no other file of its run', async (t) => {
  const { names, folder, run } = await severalFiles(t);
  const [lost = '', ...others] = names;
  writeFileSync(path.join(folder, lost), Buffer.alloc(20_000, 0xee));
  const bench = new DiskBench(t, { folder: folder });
  bench.disk.fault = { calls: ['rename'], code: 'EROFS' };
  await bench.outbox.start();
  bench.outbox.up();
  await eventually(() => bench.forwarder.seqs(run).at(-1) === 300, { what: `${others.length} files are delivered` });
  assert.ok(readdirSync(folder).includes(lost), 'nothing was done to it');
});

/** Beyond the limit, in parts, until something is evicted: for the limit damaged files are evicted, too. */
async function fill(bench: DiskBench): Promise<void> {
  const before = bench.outbox.status();
  const isEvicted = (): boolean => bench.outbox.status().dropped > before.dropped;
  for (let added = 50; added <= 600 && !isEvicted(); added += 50) {
    await bench.add(50);
    await eventually(() => isEvicted() || bench.outbox.status().spilled === before.spilled + added, {
      what: `${added} are spilled`,
    });
  }
}

test('a kill between the mark of a damaged file and setting it aside: the next process still delivers what is whole', async (t) => {
  const { bench, run } = await damagedRun(t, OVER_LIMIT);
  // Without the second one, the mark is there for a moment only: what was not evicted needs none.
  bench.disk.faults = [
    { calls: ['rename'], code: 'ENOSPC', name: '.spill' },
    { calls: ['create'], code: 'EIO', name: '.dropped.json' },
  ];
  await fill(bench);
  const isMarked = (): boolean => readdirSync(bench.folder).some((name) => name.includes(`${run}-00000001.spill.evicted-`));
  await eventually(isMarked, { what: 'the damaged file is marked' });
  bench.disk.fault = { calls: DISK_CALLS, code: 'EIO' };
  assert.ok(readdirSync(bench.folder).includes(`${run}-00000001.spill`), 'it has its name still');
  const next = new DiskBench(t, { folder: bench.folder });
  await next.outbox.start();
  next.outbox.up();
  await eventually(() => next.forwarder.seqs(run).length === 49, { what: 'what is whole is delivered' });
  await eventually(() => next.outbox.held === 0, { what: 'nothing is held' });
  assert.deepEqual(next.forwarder.missedBy(run), { damaged: [7] });
  await eventually(() => !isMarked(), { what: 'the mark is removed' });
  await eventually(() => readdirSync(bench.folder).some((name) => name.includes('.damaged-')), { what: 'the file is kept' });
});

test('a kill after a damaged file was set aside, before anything recorded its eviction, loses no count', async (t) => {
  const { bench, run } = await damagedRun(t, OVER_LIMIT);
  bench.disk.onRename = (name) => {
    if (name.startsWith(`${run}-00000001.spill`)) bench.disk.fault = { calls: DISK_CALLS, code: 'EIO' };
  };
  await fill(bench);
  const isSetAside = (): boolean => readdirSync(bench.folder).some((name) => name.includes('.damaged-'));
  await eventually(isSetAside, { what: 'the damaged file is set aside' });
  const next = new DiskBench(t, { folder: bench.folder });
  await next.outbox.start();
  next.outbox.up();
  const missed = (): number[] => Object.values(next.forwarder.missedBy(run)).flat();
  await eventually(() => missed().length === 50, { what: 'all of it is counted' });
  const evicted = seqsThrough(50).filter((seq) => seq !== 7);
  assert.deepEqual(next.forwarder.missedBy(run), { damaged: [7], outbox_full: evicted });
  assert.deepEqual(next.forwarder.seqs(run), []);
});

test('an eviction in a folder without room for another name is counted after a kill right behind it', async (t) =>
  await killedAfterEviction(t, { calls: ['write', 'create', 'rename'], code: 'ENOSPC' }));

test('a kill within such an eviction, before the file was cut off: it counts as evicted, and nothing of it is sent', async (t) => {
  const first = await spilled(t, 50);
  await first.outbox.stop();
  const file = path.join(first.folder, readdirSync(first.folder).find((name) => name.endsWith('.spill')) ?? '');
  const line = encodeEvicted({ from: 1, to: 50 });
  writeFileSync(file, Buffer.concat([Buffer.from(line), readFileSync(file).subarray(line.length)]));
  const next = new DiskBench(t, { folder: first.folder });
  await next.outbox.start();
  next.outbox.up();
  const { run } = first.outbox;
  await eventually(() => next.forwarder.missedBy(run)['outbox_full']?.length === 50, { what: 'it is counted' });
  assert.deepEqual(next.forwarder.seqs(run), []);
  await eventually(() => readdirSync(first.folder).length === 0, { what: 'nothing is left' });
});

test('on a disk without space the run of an earlier process makes room first: its readings are older', async (t) => {
  const first = await spilled(t, 200);
  first.outbox.down();
  await first.outbox.stop();
  const bench = new DiskBench(t, { folder: first.folder });
  await bench.outbox.start();
  await eventually(() => bench.outbox.held === 200, { what: 'the earlier run is found' });
  await spill(bench, 200);
  bench.disk.onRemove = (name) => {
    // The room that a removed file of readings leaves.
    if (name.startsWith(first.outbox.run)) bench.disk.fault = undefined;
  };
  bench.disk.fault = { calls: ['write'], code: 'ENOSPC' };
  burst(bench, 300);
  await eventually(() => bench.outbox.status().dropped > 0 && bench.outbox.status().spilled === 500, { what: 'room was made' });
  assert.deepEqual(bench.droppedSeqs, [], 'none of its own');
  bench.outbox.up();
  await eventually(() => bench.outbox.held === 0, { what: 'all is settled' });
  assert.deepEqual(bench.forwarder.seqs(bench.outbox.run), seqsThrough(500));
  assert.ok((bench.forwarder.missedBy(first.outbox.run)['outbox_full'] ?? []).length > 0, 'the older run gave room');
});

test('a disk check ends when the disk takes writes again, although nothing is held that could be written', async (t) => {
  const bench = await spilled(t, 20, { memoryMax: 20 });
  bench.disk.fault = { calls: ['write', 'create'], code: 'EIO' };
  burst(bench, 5);
  await eventually(() => bench.outbox.checks().some(({ code }) => code === 'spill_failed'), { what: 'the write failed' });
  bench.outbox.up();
  await eventually(() => bench.outbox.held === 0, { what: 'all is stored' });
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.ok(
    bench.outbox.checks().some(({ code }) => code === 'spill_failed'),
    'the disk still fails',
  );
  bench.disk.fault = undefined;
  await eventually(() => bench.outbox.checks().every(({ status }) => status === 'ok'), { what: 'the check is ok' });
});
