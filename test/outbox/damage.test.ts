import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { DroppedSeqs } from '../../outbox/dropped-seqs.ts';
import { setAsideChecks } from '../../outbox/outbox-report.ts';
import { SetAsideFiles } from '../../outbox/set-aside-files.ts';
import { encodeHeader, encodeLine } from '../../outbox/spill-lines.ts';
import { eventually } from '../support/eventually.ts';
import { tempDir } from '../support/temp-dir.ts';
import { DiskBench, seqsThrough } from './support/disk-bench.ts';

const RUN = '0123456789abcdef';
/** Readings that are added at once. */
const PART = 40;

interface Left {
  folder: string;
  run: string;
  /** Paths of the files, in order. */
  files: string[];
  last: number;
}

/** What a process leaves that ended in order, or was killed: its files have some 8 KiB each. */
async function left(t: TestContext, count: number, isKilled = false): Promise<Left> {
  const folder = path.join(tempDir(t), 'outbox');
  const bench = new DiskBench(t, { folder, maxBytes: 65_536, memoryMax: 20 });
  await bench.outbox.start();
  // In parts: what waits for the disk is one write, in one file.
  for (let added = 0; added < count;) {
    const part = count - added < 2 * PART ? count - added : PART;
    await bench.add(part);
    added += part;
    await eventually(() => bench.outbox.status().spilled === added);
  }
  let kept = folder;
  if (isKilled) {
    kept = path.join(tempDir(t), 'killed');
    mkdirSync(kept);
    for (const name of readdirSync(folder)) copyFileSync(path.join(folder, name), path.join(kept, name));
  } else await bench.outbox.stop();
  const files = readdirSync(kept)
    .filter((name) => name.endsWith('.spill'))
    .sort()
    .map((name) => path.join(kept, name));
  return { folder: kept, run: bench.outbox.run, files, last: count };
}

/** Delivers what is in the folder; asserts that each seq is stored or missed as damaged, and returns the latter. */
async function deliver(t: TestContext, { folder, run, last }: Pick<Left, 'folder' | 'run' | 'last'>): Promise<number[]> {
  const bench = new DiskBench(t, { folder });
  await bench.outbox.start();
  bench.outbox.up();
  await eventually(() => bench.outbox.held === 0 && readdirSync(folder).every((name) => name.includes('.damaged-')), {
    what: 'everything is delivered',
  });
  const { damaged = [], ...others } = bench.forwarder.missedBy(run);
  assert.deepEqual(others, {});
  assert.deepEqual(
    [...bench.forwarder.seqs(run), ...damaged].sort((a, b) => a - b),
    seqsThrough(last),
  );
  assert.equal(bench.outbox.status().dropped, damaged.length);
  return damaged;
}

const setAsideIn = (folder: string): string[] => readdirSync(folder).filter((name) => name.includes('.damaged-'));

function flip(file: string, at: number): void {
  const bytes = readFileSync(file);
  bytes[at] = (bytes[at] ?? 0) ^ 0x04;
  writeFileSync(file, bytes);
}

/** Byte of a file where the line of a reading begins. */
const lineOf = (file: string, seq: number): number => readFileSync(file).indexOf(` ${seq} {"timestamp"`) - 8;

test('a flipped byte costs one reading, which is counted by its seq; its file is kept unchanged under another name', async (t) => {
  const found = await left(t, 200);
  const [first = '', ...others] = found.files;
  assert.ok(others.length > 0);
  flip(first, lineOf(first, 7) + 40);
  const bytes = readFileSync(first);
  assert.deepEqual(await deliver(t, found), [7]);
  const [name = '', ...more] = setAsideIn(found.folder);
  assert.deepEqual(more, []);
  assert.equal(name.replace(/\.damaged-\d{8}T\d{6}Z$/, ''), path.basename(first));
  assert.deepEqual(readFileSync(path.join(found.folder, name)), bytes);
});

test('a flipped line break costs nothing: both lines are whole', async (t) => {
  const found = await left(t, 100);
  const [first = ''] = found.files;
  flip(first, lineOf(first, 8) - 1);
  assert.deepEqual(await deliver(t, found), []);
});

test('damaged control lines cost no reading', async (t) => {
  for (const seq of [1, 20]) {
    const found = await left(t, 100);
    const [first = ''] = found.files;
    const text = readFileSync(first, 'latin1');
    // The header is in front of the first reading, a block line in front of another one.
    const control = seq === 1 ? 0 : text.indexOf(' 0 {"block"', lineOf(first, 5)) - 8;
    flip(first, control + 20);
    assert.deepEqual(await deliver(t, found), []);
  }
});

test('a file that lost its end is counted to the last seq that it held, whether the process ended or was killed', async (t) => {
  for (const isKilled of [false, true]) {
    const found = await left(t, 200, isKilled);
    const [first = ''] = found.files;
    truncateSync(first, lineOf(first, 11));
    const damaged = await deliver(t, found);
    assert.equal(damaged[0], 11);
    assert.equal(damaged.length, (damaged.at(-1) ?? 0) - 10);
    assert.equal(setAsideIn(found.folder).length, 1);
  }
});

test('the last file of a killed process is counted to the end of the write that is torn', async (t) => {
  const found = await left(t, 20, true);
  const [file = ''] = found.files;
  truncateSync(file, readFileSync(file).length - 5);
  assert.deepEqual(await deliver(t, found), [20]);
});

test('a last write that was cut short is no damage: it is counted by seq, and no file is set aside', async (t) => {
  for (const cut of ['within a line', 'between two lines', 'zeros'] as const) {
    const found = await left(t, 20, true);
    const [file = ''] = found.files;
    const line = lineOf(file, 19);
    const bytes = readFileSync(file);
    if (cut === 'zeros') writeFileSync(file, Buffer.concat([bytes.subarray(0, line), Buffer.alloc(bytes.length - line)]));
    else truncateSync(file, cut === 'within a line' ? line + 30 : line);
    assert.deepEqual(await deliver(t, found), [19, 20], cut);
    assert.deepEqual(setAsideIn(found.folder), [], cut);
  }
});

test('a last write that was cut short warns in the log; health keeps silent', async (t) => {
  const found = await left(t, 20, true);
  const [file = ''] = found.files;
  truncateSync(file, lineOf(file, 19) + 30);
  const bench = new DiskBench(t, { folder: found.folder });
  await bench.outbox.start();
  await eventually(() => bench.outbox.status().dropped === 2, { what: 'both are counted' });
  bench.outbox.up();
  await eventually(() => bench.outbox.held === 0, { what: 'the others are stored' });
  assert.deepEqual(
    bench.outbox.checks().filter(({ status }) => status !== 'ok'),
    [],
  );
  const dropped = bench.outbox.metrics().find(({ name }) => name === 'hr_gateway_outbox_dropped_total');
  assert.ok(JSON.stringify(dropped).includes('cut_short'), JSON.stringify(dropped));
});

test('a flipped byte in the last line of a killed process is damage: the file is set aside', async (t) => {
  const found = await left(t, 20, true);
  const [file = ''] = found.files;
  flip(file, lineOf(file, 20) + 30);
  assert.deepEqual(await deliver(t, found), [20]);
  assert.equal(setAsideIn(found.folder).length, 1);
});

test('a first write that was cut short within its header leaves nothing behind', async (t) => {
  const found = await left(t, 20, true);
  const [file = ''] = found.files;
  const next = file.replace(/\d{8}\.spill$/, '00000009.spill');
  for (const bytes of [1, 8, 9, 11, 40]) {
    writeFileSync(next, readFileSync(file).subarray(0, bytes));
    const { run, folder } = found;
    const bench = new DiskBench(t, { folder });
    await bench.outbox.start();
    await eventually(() => bench.outbox.held === 20 && !readdirSync(folder).includes(path.basename(next)), {
      what: `${bytes} bytes of ${run} are removed`,
    });
    await bench.outbox.stop();
  }
  assert.deepEqual(setAsideIn(found.folder), []);
});

test('health lists files that were set aside, after a restart too, until a person removes them', async (t) => {
  const found = await left(t, 200);
  flip(found.files[0] ?? '', lineOf(found.files[0] ?? '', 7) + 40);
  await deliver(t, found);
  const bench = new DiskBench(t, { folder: found.folder });
  await bench.outbox.start();
  const check = bench.outbox.checks().find(({ name }) => name === 'outbox files');
  assert.equal(check?.status, 'warn');
  assert.equal(check.code, 'outbox_set_aside');
  assert.match(check.reason, /^1 damaged file \(\d+ KiB\) kept in \/.+\/outbox$/);
  const files = new SetAsideFiles(bench.disk, { folder: found.folder, maxBytes: 16_384 });
  t.after(() => files.stop());
  await files.list();
  const [tooLarge] = setAsideChecks(files);
  assert.equal(tooLarge?.status, 'fail');
  assert.match(tooLarge.reason, /^1 damaged file .+, more than a quarter of OUTBOX_MAX_BYTES$/);
  for (const name of setAsideIn(found.folder)) rmSync(path.join(found.folder, name));
  await files.list();
  assert.deepEqual(setAsideChecks(files), []);
});

test('a file that is missing between others is counted', async (t) => {
  const found = await left(t, 330);
  const [, second = '', third = ''] = found.files;
  const from = Number(/ 0 .*"first":(\d+)/.exec(readFileSync(second, 'latin1'))?.[1]);
  const to = Number(/ 0 .*"prev":(\d+)/.exec(readFileSync(third, 'latin1'))?.[1]);
  rmSync(second);
  assert.deepEqual(
    await deliver(t, found),
    seqsThrough(to).filter((seq) => seq >= from),
  );
});

test('a file in which nothing can be recognised is kept, and stops nothing', async (t) => {
  const found = await left(t, 50);
  const garbage = path.join(found.folder, `${'a'.repeat(16)}-00000001.spill`);
  writeFileSync(garbage, Buffer.alloc(5000, 0xa7));
  assert.deepEqual(await deliver(t, found), []);
  assert.deepEqual(
    setAsideIn(found.folder).map((name) => name.slice(0, 22)),
    [path.basename(garbage).slice(0, 22)],
  );
});

test('damage that several processes find is counted once', async (t) => {
  const found = await left(t, 100);
  const [first = ''] = found.files;
  flip(first, lineOf(first, 7) + 40);
  for (let process = 0; process < 2; process += 1) {
    const bench = new DiskBench(t, { folder: found.folder });
    await bench.outbox.start();
    await eventually(() => bench.outbox.status().dropped === (process === 0 ? 1 : 0) && bench.outbox.held === 99);
    bench.outbox.down();
    await bench.outbox.stop();
  }
  assert.deepEqual(await deliverAgain(t, found), [7]);
});

/** As `deliver`, if an earlier process has counted the damage. */
async function deliverAgain(t: TestContext, { folder, run }: Left): Promise<number[]> {
  const bench = new DiskBench(t, { folder });
  await bench.outbox.start();
  bench.outbox.up();
  await eventually(() => bench.outbox.held === 0 && bench.forwarder.seqs(run).length > 0);
  assert.equal(bench.outbox.status().dropped, 0);
  return bench.forwarder.missedBy(run)['damaged'] ?? [];
}

test('a place that stays unreadable costs the readings in it; a disk that is gone costs none', async (t) => {
  const found = await left(t, 200);
  const bench = new DiskBench(t, { folder: found.folder, salvageAfterMs: 300 });
  await bench.outbox.start();
  await eventually(() => bench.outbox.held === 200);
  bench.disk.fault = { calls: ['read'], code: 'EIO' };
  bench.outbox.up();
  await new Promise((resolve) => setTimeout(resolve, 1000));
  assert.equal(bench.outbox.status().dropped, 0, 'nothing can be read: the disk may come back');
  bench.disk.fault = { calls: ['read'], code: 'EIO', name: path.basename(found.files[0] ?? ''), bytes: [4096, 8192] };
  await eventually(() => bench.outbox.held === 0);
  const damaged = bench.forwarder.missedBy(found.run)['damaged'] ?? [];
  assert.ok(damaged.length > 5 && damaged.length < 50, String(damaged.length));
  assert.equal(bench.forwarder.seqs(found.run).length + damaged.length, 200);
  await eventually(() => setAsideIn(found.folder).length === 1);
});

test('files of format 2 and of version 1.0.0 are delivered whole, and their damage is counted, too', async (t) => {
  const lines = (from: number, to: number): string =>
    seqsThrough(to)
      .slice(from - 1)
      .map((seq) =>
        encodeLine({ seq, payload: JSON.stringify({ timestamp: '', heart_rate: 70, device: 'd', gateway: 'box', seq }) }),
      )
      .join('');
  const header = encodeHeader({ gateway: 'box', run: RUN, may_have_sent: 10_100 }).replace(/.*/, () => {
    const payload = JSON.stringify({ format: 2, gateway: 'box', run: RUN, may_have_sent: 10_100 });
    return encodeLine({ seq: 0, payload }).trimEnd();
  });
  for (const start of [header, '']) {
    const folder = tempDir(t);
    writeFileSync(path.join(folder, `${RUN}-00000001.spill`), start + lines(1, 40));
    writeFileSync(path.join(folder, `${RUN}-00000002.spill`), start + lines(41, 100));
    assert.deepEqual(await deliver(t, { folder, run: RUN, last: 100 }), []);
    const damaged = tempDir(t);
    const text = start + lines(1, 40);
    writeFileSync(path.join(damaged, `${RUN}-00000001.spill`), text.slice(0, text.indexOf(' 36 {') - 8));
    writeFileSync(path.join(damaged, `${RUN}-00000002.spill`), start + lines(41, 50) + lines(53, 100));
    assert.deepEqual(await deliver(t, { folder: damaged, run: RUN, last: 100 }), [36, 37, 38, 39, 40, 51, 52]);
  }
});

test('dropped seqs count once, under their first cause, below any seq and beyond 10,000 spans', () => {
  const dropped = new DroppedSeqs({ counts: { damaged: 2 }, spans: [{ from: 5, to: 6, cause: 'outbox_full' }] });
  assert.deepEqual(dropped.add(1, 10, 'damaged'), [
    { from: 1, to: 4 },
    { from: 7, to: 10 },
  ]);
  assert.deepEqual(dropped.add(3, 8, 'disk_failed'), []);
  assert.deepEqual(dropped.counts, { damaged: 10, outbox_full: 2 });
  assert.deepEqual(dropped.countsBelow(6), { damaged: 6, outbox_full: 1 });
  assert.deepEqual([dropped.coveredTo(0), dropped.coveredTo(10), dropped.countIn(4, 7), dropped.last], [10, 10, 4, 10]);
  for (let seq = 20; seq < 60_000; seq += 2) dropped.add(seq, seq, 'damaged');
  assert.equal(dropped.total, 12 + 29_990);
  assert.equal(dropped.record.spans.length, 10_000);
  assert.equal(dropped.countsBelow(60_001).damaged, 10 + 29_990);
});
