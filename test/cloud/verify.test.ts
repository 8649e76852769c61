import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { Claims } from '../../cloud/verify/claims.ts';
import { SeqSet } from '../../cloud/verify/seq-set.ts';
import { Verifier, verifyFolder, type VerifyReport } from '../../cloud/verify/verify.ts';
import { tempDir } from '../support/temp-dir.ts';
import { memoryFor } from './support/memory-for.ts';
import { readingLine } from './support/readings.ts';

const RUN = '3f9a1c2e00b7d415';
const OTHER = 'aaaaaaaaaaaaaaaa';
const account = (to: number, more: object = {}): object => ({ account: { run: RUN, from: 1, to, except: [], at: 1, ...more } });
const lost = (from: number, to = from): object => ({ from, to, outcome: 'evicted', cause: 'queue_full' });

function reportOf(...records: object[]): VerifyReport {
  const verifier = new Verifier();
  for (const record of records) verifier.add(record);
  return verifier.report();
}
const verdicts = ({ runs }: VerifyReport): string[] => runs.map(({ verdict }) => verdict);
const readings = (...seqs: number[]): object[] => seqs.map((seq) => readingLine(RUN, seq));

test('verdicts: complete, missing with cause, missing without cause, not there yet, duplicates', () => {
  const final = readingLine(OTHER, 1, account(4, { final: true }));
  for (const [records, ok, verdict] of [
    [[...readings(1, 2, 3), final, ...readings(4)], true, 'complete from 1 to 4'],
    [readings(1, 2, 3), true, 'complete from 1 to 3; not yet closed'],
    [[...readings(1, 4), final], false, 'MISSING WITHOUT CAUSE 2 of 4: 2 to 3'],
    [readings(2, 3), false, 'MISSING WITHOUT CAUSE 1 of 3: 1 (no account); not yet closed'],
    [
      [...readings(1, 4), readingLine(OTHER, 1, account(4, { except: [lost(2, 3)], final: true }))],
      true,
      'missing 2 of 4: 2 to 3 (evicted: queue_full)',
    ],
    [[...readings(1, 2, 5), readingLine(OTHER, 1, account(2))], true, 'not there yet: 3 to 4; not yet closed'],
    [[...readings(1, 2, 4), readingLine(OTHER, 1, account(3))], false, 'MISSING WITHOUT CAUSE 1 of 4: 3; not yet closed'],
    [readings(3, 2, 1, 2), true, 'complete from 1 to 3; 1 duplicates; not yet closed'],
  ] as const) {
    const report = reportOf(...records);
    assert.equal(verdicts(report)[0], verdict);
    assert.equal(report.ok, ok, verdict);
  }
});

test('the latest account wins, in whatever order they come', () => {
  const dead = readingLine(RUN, 3, account(2, { at: 10, except: [{ from: 2, to: 2, outcome: 'dead', cause: 'invalid' }] }));
  const retried = readingLine(RUN, 4, account(3, { at: 20 }));
  for (const order of [
    [dead, retried],
    [retried, dead],
  ])
    assert.deepEqual(verdicts(reportOf(...readings(1), ...order)), ['MISSING WITHOUT CAUSE 1 of 4: 2; not yet closed']);
});

test('an account counts although its reading is a copy, and only for runs of its own gateway', () => {
  assert.deepEqual(verdicts(reportOf(...readings(1, 3), readingLine(RUN, 3, account(2, { except: [lost(2)] })))), [
    'missing 1 of 3: 2 (evicted: queue_full); 1 duplicates; not yet closed',
  ]);
  const elsewhere = reportOf(
    ...readings(1, 3),
    readingLine(RUN, 1, { gateway: 'back-door', ...account(2, { except: [lost(2)] }) }),
  );
  assert.deepEqual(verdicts(elsewhere), [
    'missing 1 of 2: 2 (evicted: queue_full); not yet closed',
    'MISSING WITHOUT CAUSE 1 of 3: 2 (no account); not yet closed',
  ]);
});

test('seqs that are only counted are reported as such, and those beyond the counts as missing without cause', () => {
  const counted = (counts: object): object => readingLine(RUN, 11, account(10, { counted: counts }));
  const some = readings(1, 2, 3, 4, 5, 6, 7);
  const explained = reportOf(...some, counted({ shipped: 7, 'evicted:queue_full': 3 }));
  assert.deepEqual([explained.ok, verdicts(explained)[0]], [true, 'counted only: 8 to 10; not yet closed']);
  const unexplained = reportOf(...some, counted({ shipped: 8, 'evicted:queue_full': 2 }));
  assert.deepEqual(
    [unexplained.ok, verdicts(unexplained)[0]],
    [false, 'counted only: 8 to 10; MISSING WITHOUT CAUSE 1 of 11: more than is counted; not yet closed'],
  );
});

test('readings without identity, foreign records and records of accounts are no runs', () => {
  const report = reportOf(
    { timestamp: '2026-11-22T19:00:00.123Z', heart_rate: 72 },
    { hello: 'world' },
    { record: 'account', gateway: 'front-desk', sent_at: '2026-11-22T19:00:00.123Z' },
    readingLine(RUN, 1, { account: { run: 7 } }),
  );
  assert.deepEqual([report.unnumbered, report.foreign, report.invalid_accounts, report.runs.length], [1, 1, 1, 1]);
});

test('gaps are summed by device and cause, once for a reading that is there twice', () => {
  const gaps = [{ from: '2026-11-22T19:00:00.000Z', to: '2026-11-22T19:10:00.000Z', cause: 'out_of_range' }];
  const report = reportOf(readingLine(RUN, 1, { gaps }), readingLine(RUN, 1, { gaps }));
  assert.deepEqual(report.gaps, [
    { gateway: 'front-desk', device: 'polar-h10-a1b2c3', cause: 'out_of_range', count: 1, seconds: 600 },
  ]);
});

test('files may be plain or gzipped, nested, of any name, with or without separators; a damaged one is named', async (t) => {
  const folder = tempDir(t);
  const text = (seqs: number[], separator = '\n'): string =>
    readings(...seqs)
      .map((record) => JSON.stringify(record))
      .join(separator);
  mkdirSync(path.join(folder, 'dt=2026-11-22/05'), { recursive: true });
  const write = (name: string, content: string | Buffer): void => writeFileSync(path.join(folder, name), content);
  write('plain', text([1, 2, 3]));
  write('dt=2026-11-22/05/a.gz', gzipSync(text([4, 5])));
  write('dt=2026-11-22/b.json', Buffer.concat([gzipSync(`${text([6])}\n`), gzipSync(text([7]))]));
  write('no-separator.txt', text([8, 9, 10], ''));
  write('windows.txt', `${text([11, 12], '\r\n')}\r\n\n`);
  write('empty', '');
  const whole = await verifyFolder(folder);
  assert.deepEqual([whole.ok, whole.records, verdicts(whole)], [true, 12, ['complete from 1 to 12; not yet closed']]);
  const cut = gzipSync(text([13, 14]));
  write('cut.gz', cut.subarray(0, cut.length - 4));
  const damaged = await verifyFolder(folder);
  assert.deepEqual([damaged.ok, damaged.unreadable.map(({ file }) => path.basename(file))], [false, ['cut.gz']]);
});

test('a set of seqs equals the set of the language, in any order and density', () => {
  const seq = fc.integer({ min: 1, max: 140_000 });
  fc.assert(
    fc.property(
      fc.array(
        fc.oneof({ weight: 3, arbitrary: fc.tuple(seq, fc.integer({ min: 0, max: 3000 }), fc.integer({ min: 1, max: 3 })) }),
        {
          maxLength: 60,
        },
      ),
      (spans) => {
        const set = new SeqSet();
        const model = new Set<number>();
        for (const [from, count, step] of spans)
          for (let index = 0; index < count; index += 1) {
            const value = from + index * step;
            assert.equal(set.add(value), !model.has(value));
            model.add(value);
          }
        const upTo = 200_000;
        const missing: number[] = [];
        for (const { from, to } of set.missing(upTo)) for (let value = from; value <= to; value += 1) missing.push(value);
        assert.equal(set.size, model.size);
        assert.equal(missing.length, upTo - model.size);
        assert.ok(
          missing.every((value) => !model.has(value)),
          'nothing that is there is missing',
        );
      },
    ),
    { numRuns: 30 },
  );
});

test('of claims about a seq the latest is kept, in whatever order they come', () => {
  const claim = fc.record({
    from: fc.integer({ min: 1, max: 40 }),
    length: fc.integer({ min: 0, max: 15 }),
    what: fc.constantFrom('a', 'b'),
  });
  fc.assert(
    fc.property(fc.array(claim, { maxLength: 15 }), fc.infiniteStream(fc.nat()), (list, order) => {
      const claims = list.map(({ from, length, what }, at) => ({ from, to: from + length, what, at }));
      const model = new Map<number, string>();
      for (const { from, to, what } of claims) for (let seq = from; seq <= to; seq += 1) model.set(seq, what);
      const shuffled = claims.map((each) => ({ each, key: order.next().value ?? 0 })).sort((a, b) => a.key - b.key);
      const under = new Claims();
      for (const { each } of shuffled) under.add(each);
      const found = new Map<number, string>();
      for (const { from, to, what } of under.about({ from: 1, to: 60 }))
        for (let seq = from; seq <= to; seq += 1) if (what !== undefined) found.set(seq, what);
      assert.deepEqual(new Map([...found].sort(([a], [b]) => a - b)), new Map([...model].sort(([a], [b]) => a - b)));
    }),
    { numRuns: 300 },
  );
});

test('memory grows with losses, and not with readings', async (t) => {
  const [few, many] = [await memoryFor(100_000, 1000), await memoryFor(2_000_000, 1000)];
  t.diagnostic(`${few} MiB, ${many} MiB for 2 million`);
  assert.ok(many - few < 25, `${few} MiB became ${many} MiB`);
});
