import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { gzipSync } from 'node:zlib';
import { verifyFolder } from '../../cloud/verify/verify.ts';
import { cannotRun } from '../support/cannot-run.ts';
import { tempDir } from '../support/temp-dir.ts';
import { duckPython, query, statementWith } from './support/athena.ts';
import { readingLine } from './support/readings.ts';

const RUN = '3f9a1c2e00b7d415';
const ACCOUNTED = 'what the latest account says of each';

/** Objects of one day of arrival, each gzipped. */
function writeDay(folder: string, day: string, objects: readonly (readonly object[])[]): void {
  mkdirSync(path.join(folder, `dt=${day}`), { recursive: true });
  for (const [index, records] of objects.entries())
    writeFileSync(
      path.join(folder, `dt=${day}`, `hr-data-stream-to-s3-1-${index}.gz`),
      gzipSync(records.map((record) => `${JSON.stringify(record)}\n`).join('')),
    );
}

async function withDuck(t: TestContext): Promise<string | undefined> {
  const python = await duckPython();
  if (python === undefined) cannotRun(t, 'no Python with DuckDB');
  return python;
}

test('the view has each reading once, and both of two people whose old-format records are of one instant', async (t) => {
  const python = await withDuck(t);
  if (python === undefined) return;
  const folder = tempDir(t);
  const old = { timestamp: '2026-11-22T19:00:00.123Z', heart_rate: 72 };
  writeDay(folder, '2026-11-22', [
    [readingLine(RUN, 1), readingLine(RUN, 2), old],
    [readingLine(RUN, 2), { ...old, heart_rate: 85 }, old, readingLine(RUN, 1, { gateway: 'back-door' })],
  ]);
  writeDay(folder, '2026-11-23', [
    [
      readingLine(RUN, 1),
      {
        record: 'account',
        gateway: 'front-desk',
        sent_at: old.timestamp,
        account: { run: RUN, from: 1, to: 2, except: [], at: 5 },
      },
    ],
  ]);
  const rows = await query(
    python,
    folder,
    statementWith('VIEW readings AS'),
    'SELECT gateway, seq, heart_rate FROM readings ORDER BY 1, 2, 3',
  );
  assert.deepEqual(
    rows.map((row) => Object.values(row)),
    [
      ['back-door', 1, 61],
      ['front-desk', 1, 61],
      ['front-desk', 2, 62],
      [null, null, 72],
      [null, null, 72],
      [null, null, 85],
    ],
  );
  const accounts = await query(
    python,
    folder,
    statementWith('VIEW accounts AS'),
    'SELECT gateway, run, first_seq, last_seq, is_final FROM accounts',
  );
  assert.deepEqual(accounts, [{ gateway: 'front-desk', run: RUN, first_seq: 1, last_seq: 2, is_final: false }]);
  const minutes = await query(python, folder, statementWith('date_trunc'));
  assert.deepEqual(
    minutes.map(({ bpm }) => Number(bpm)),
    [(61 + 62 + 61) / 3, (72 + 72 + 85) / 3],
  );
});

test('one statement names what is missing as verify does', async (t) => {
  const python = await withDuck(t);
  if (python === undefined) return;
  const folder = tempDir(t);
  const lost = (from: number, to: number, outcome: string, cause: string): object => ({ from, to, outcome, cause });
  const account = (run: string, from: number, to: number, at: number, except: object[] = [], more: object = {}): object => ({
    account: { run, from, to, except, at, ...more },
  });
  const SECOND = 'aaaaaaaaaaaaaaaa';
  const seqs = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, index) => from + index);
  writeDay(folder, '2026-11-22', [
    [
      // 5 was dead and was retried; 8 to 9 were evicted; 12 is claimed and not there; 15 is not told of yet.
      ...[1, 2, 3, 4, 6, 7, 10, 11, 13, 14, 16].map((seq) => readingLine(RUN, seq)),
      readingLine(RUN, 5),
      readingLine(RUN, 4),
      readingLine(RUN, 17, account(RUN, 1, 11, 100, [lost(5, 5, 'dead', 'invalid'), lost(8, 9, 'evicted', 'queue_full')])),
    ],
    [
      readingLine(RUN, 18, account(RUN, 10, 14, 200)),
      readingLine(RUN, 19, account(RUN, 1, 7, 300)),
      // The same digits at another gateway; a large loss.
      ...[1, 2].map((seq) => readingLine(RUN, seq, { gateway: 'back-door' })),
      readingLine(SECOND, 60_003, {
        gateway: 'back-door',
        ...account(RUN, 1, 60_000, 400, [lost(3, 60_000, 'missed', 'outbox_full')], { final: true }),
      }),
    ],
  ]);
  writeDay(folder, '2026-11-23', [seqs(1, 60_002).map((seq) => readingLine(SECOND, seq, { gateway: 'back-door' }))]);
  const rows = await query(python, folder, statementWith(ACCOUNTED));
  assert.deepEqual(
    rows.map((row) => Object.values(row)),
    [
      ['back-door', RUN, 1, 60_000, 2, 'incomplete, closed'],
      ['back-door', RUN, 3, 60_000, 59_998, 'missed: outbox_full'],
      ['back-door', SECOND, 1, 60_003, 60_003, 'complete, not yet closed'],
      ['front-desk', RUN, 1, 19, 15, 'incomplete, not yet closed, 1 duplicates'],
      ['front-desk', RUN, 8, 9, 2, 'evicted: queue_full'],
      ['front-desk', RUN, 12, 12, 1, 'WITHOUT CAUSE'],
      ['front-desk', RUN, 15, 15, 1, 'not yet closed'],
    ],
  );
  const report = await verifyFolder(folder);
  assert.deepEqual(
    report.runs.map(({ verdict }) => verdict),
    [
      'missing 59998 of 60000: 3 to 60000 (missed: outbox_full)',
      'complete from 1 to 60003; not yet closed',
      'missing 2 of 19: 8 to 9 (evicted: queue_full); MISSING WITHOUT CAUSE 1 of 19: 12; not there yet: 15; 1 duplicates; not yet closed',
    ],
  );
});
