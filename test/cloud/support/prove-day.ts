/** Plays a day of straps, and compares what verify and the SQL say of it with the model, exactly. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { RunReport, VerifyReport } from '../../../cloud/verify/verify.ts';
import { verifyFolder } from '../../../cloud/verify/verify.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { query, statementWith } from './athena.ts';
import { DayOfStraps, GATEWAY, type LostSeqs, type Plan, type Stored } from './day-of-straps.ts';
import { FirehoseFiles } from './firehose-files.ts';

export const NOTHING_PLANTED: Omit<Plan, 'straps' | 'steps' | 'secondsPerStep' | 'maxBytes'> = {
  outages: [],
  kills: [],
  restarts: [],
  refusals: [],
  malformed: [],
  drops: [],
  retries: [],
  losses: [],
};

const WITHOUT_CAUSE = 'WITHOUT CAUSE';

const lostOf = ({ lost, unexplained, pending }: RunReport): LostSeqs[] =>
  [
    ...lost.map(({ from, to, outcome, cause }) => ({ from, to, why: `${outcome}: ${cause}` })),
    ...unexplained.map(({ from, to }) => ({ from, to, why: WITHOUT_CAUSE })),
    ...pending.map(({ from, to }) => ({ from, to, why: 'not yet closed' })),
  ].sort((a, b) => a.from - b.from);

/** `expected`: the model's runs; the last one is not closed. */
export function assertReport(report: VerifyReport, expected: DayOfStraps['expected']): void {
  for (const [index, { run, last, copies, lost }] of expected.entries()) {
    const found = report.runs.find((each) => each.run === run);
    assert.ok(found !== undefined, `run ${run} is reported`);
    assert.deepEqual(lostOf(found), lost, run);
    assert.deepEqual([found.gateway, found.last, found.duplicates], [GATEWAY, last, copies]);
    assert.equal(found.closed, index < expected.length - 1, `whether run ${run} is closed: ${found.verdict}`);
    assert.equal(found.complete, lost.length === 0);
  }
  assert.equal(report.ok, !expected.some(({ lost }) => lost.some(({ why }) => why === WITHOUT_CAUSE)));
}

async function assertSql(python: string, folder: string, expected: DayOfStraps['expected']): Promise<void> {
  const rows = await query(python, folder, statementWith('what the latest account says of each'));
  const wanted = expected.flatMap(({ run, last, copies, lost }, index) => {
    const seqs = lost.reduce((sum, { from, to }) => sum + to - from + 1, 0);
    const state = index < expected.length - 1 ? 'closed' : 'not yet closed';
    const verdict = `${seqs === 0 ? 'complete' : 'incomplete'}, ${state}${copies > 0 ? `, ${copies} duplicates` : ''}`;
    return [
      { run, from: 1, to: last, seqs: last - seqs, verdict },
      ...lost.map(({ from, to, why }) => ({ run, from, to, seqs: to - from + 1, verdict: why })),
    ];
  });
  const key = (row: { run: string; from: number; verdict: string }): string =>
    `${row.run} ${String(row.from).padStart(10)} ${row.verdict}`;
  const sorted = <Row extends { run: string; from: number; verdict: string }>(list: Row[]): Row[] =>
    list.sort((a, b) => (key(a) < key(b) ? -1 : 1));
  assert.deepEqual(
    sorted(
      rows.map(({ run, first_seq: from, last_seq: to, seqs, verdict }) => ({
        run: String(run),
        from: Number(from),
        to: Number(to),
        seqs: Number(seqs),
        verdict: String(verdict),
      })),
    ),
    sorted(wanted),
  );
}

export interface Proof {
  expected: DayOfStraps['expected'];
  bytes: number;
  accountBytes: number;
}

/** `alsoTo`: gets what the stream stores. `python`: with DuckDB, or undefined to leave the SQL out. */
export async function proveDay(
  t: TestContext,
  plan: Plan,
  python: string | undefined,
  alsoTo: (records: readonly Stored[]) => Promise<void> = async () => {},
): Promise<Proof> {
  const clock = { nowMs: 0 };
  const date = t.mock.method(Date, 'now', () => clock.nowMs);
  const monotonic = t.mock.method(performance, 'now', () => clock.nowMs);
  const files = new FirehoseFiles(tempDir(t));
  const later: Stored[][] = [];
  const day = new DayOfStraps(
    plan,
    () => tempDir(t),
    clock,
    async (records) => {
      files.add(records);
      later.push([...records]);
    },
  );
  await day.play();
  day.close();
  files.end();
  date.mock.restore();
  monotonic.mock.restore();
  const { expected } = day;
  assertReport(await verifyFolder(files.folder), expected);
  if (python !== undefined) await assertSql(python, files.folder, expected);
  for (const records of later) await alsoTo(records);
  return { expected, bytes: files.bytes, accountBytes: files.accountBytes };
}
