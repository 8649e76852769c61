/**
 * The audit of a replaced file. Spans that can still be read are kept. A seq that no span and no salvaged row accounts for was damaged:
 * it counts as evicted, or as unknown if more seqs are missing from the account than readings were lost.
 */
import type { Database } from '../../service/storage/sqlite.ts';
import type { PassesOver } from './disk-trouble.ts';
import { countEarlierRuns } from './earlier-runs.ts';
import { emptyAudit, type AuditState, type LedgerState } from './ledger.ts';
import { RunSpans, spanChecksum, type Span, type StoredSpan } from './run-spans.ts';
import { fromStored, insertRuns, runChecksum, type Run, type StoredRun } from './run-table.ts';
import { SHIPPED, spanCode, UNKNOWN } from './span-codes.ts';
import { watermarkKey } from './watermark-key.ts';
import { watermarksOf } from './watermarks.ts';

export interface ReadableAudit {
  runs: StoredRun[];
  spans: StoredSpan[];
}

/** What is wrong with the audit's tables, or undefined. */
export function auditDamage(database: Database): string | undefined {
  for (const run of database.prepare('SELECT * FROM runs').iterate() as IterableIterator<StoredRun>)
    if (runChecksum(run) !== run.crc) return `the account of run ${run.id} has a wrong checksum`;
  for (const span of database.prepare('SELECT * FROM spans').iterate() as IterableIterator<StoredSpan>)
    if (spanChecksum(span) !== span.crc) return `span ${span.first} of run ${span.run} has a wrong checksum`;
  return undefined;
}

function readable<Row>(
  database: Database,
  query: (order: string) => string,
  isWhole: (row: Row) => boolean,
  key: (row: Row) => string,
  passesOver: PassesOver,
): Row[] {
  const found = new Map<string, Row>();
  for (const order of ['ASC', 'DESC'])
    try {
      for (const row of database.prepare(query(order)).iterate() as IterableIterator<Row>)
        if (isWhole(row)) found.set(key(row), row);
    } catch (error) {
      passesOver(error);
    }
  return [...found.values()];
}

/** Runs and spans of a damaged file that can still be read; none in a file of an older version. Throws what `passesOver` throws. */
export function readableAudit(database: Database, passesOver: PassesOver): ReadableAudit {
  return {
    runs: readable<StoredRun>(
      database,
      (order) => `SELECT * FROM runs ORDER BY id ${order}`,
      (run) => runChecksum(run) === run.crc,
      ({ id }) => String(id),
      passesOver,
    ),
    spans: readable<StoredSpan>(
      database,
      (order) => `SELECT * FROM spans ORDER BY run ${order}, first ${order}`,
      (span) => spanChecksum(span) === span.crc,
      ({ run, first }) => `${run}/${first}`,
      passesOver,
    ),
  };
}

/** Adds what an older copy of the same file says; what is known already counts more. */
export function addOlder(audit: ReadableAudit, older: ReadableAudit): void {
  const ids = new Set(audit.runs.map(({ id }) => id));
  audit.runs.push(...older.runs.filter(({ id }) => !ids.has(id)));
  // Spans are applied in this order, so the newer ones last.
  audit.spans.unshift(...older.spans);
}

type Seqs = Omit<Span, 'code'>;

/** Consecutive numbers, which must be sorted, as spans. */
function spansOf(seqs: Iterable<number>): Seqs[] {
  const spans: Seqs[] = [];
  for (const seq of seqs) {
    const last = spans.at(-1);
    if (last !== undefined && seq <= last.last + 1) last.last = Math.max(last.last, seq);
    else spans.push({ first: seq, last: seq });
  }
  return spans;
}

/** The seqs from `first` to `last` that no span has. */
function between(first: number, last: number, spans: readonly Seqs[]): Seqs[] {
  const gaps: Seqs[] = [];
  let next = first;
  for (const span of spans.toSorted((a, b) => a.first - b.first)) {
    if (span.first > next) gaps.push({ first: next, last: Math.min(span.first - 1, last) });
    next = Math.max(next, span.last + 1);
  }
  if (last >= next) gaps.push({ first: next, last });
  return gaps.filter((gap) => gap.last >= gap.first);
}

export interface SalvagedAudit {
  audit: AuditState;
  /** Seqs of which nobody knows whether they were shipped or are lost. */
  unclear: number;
}

/**
 * Writes the audit of a new file, after its rows, dead letters and watermarks. `state`: its ledger; its tails are used if it was salvaged,
 * too; `lost`: how many readings that ledger counts as lost with this file. What a row or a dead letter says of its seq counts more than a
 * span.
 */
export function salvageAudit(
  database: Database,
  { runs, spans }: ReadableAudit,
  state: LedgerState,
  lost: number,
): SalvagedAudit {
  const audit = { ...emptyAudit(), revision: state.audit.revision + 1 };
  const { revision } = audit;
  const tails = new Map(state.audit.hot.map((tail) => [tail[0], tail]));
  const insert = insertRuns(database);
  const table = new RunSpans(database);
  const kept: Run[] = [];
  for (const run of runs.map(fromStored)) {
    const [, first, last, up_to] = tails.get(run.id) ?? [run.id, run.tail_first, run.tail_last, run.up_to];
    const salvaged: Run = { ...run, up_to, tail_first: 1, tail_last: 0 };
    insert(salvaged);
    kept.push(salvaged);
    if (last >= first) table.assign(run.id, { first, last, code: SHIPPED }, revision);
  }
  const ids = new Set(kept.map(({ id }) => id));
  for (const { run, first, last, code } of spans)
    if (ids.has(run)) table.assign(run, { first, last, code: code.startsWith('dead:') ? null : code }, revision);
  countEarlierRuns(database, Date.now());
  const stored = new Map(watermarksOf(database).map((watermark) => [watermarkKey(watermark), watermark.stored]));
  const rows = database.prepare('SELECT seq FROM rows WHERE run = ? ORDER BY seq').pluck();
  const letters = database.prepare('SELECT seq, reason FROM dead WHERE gateway = ? AND run = ? AND seq IS NOT NULL');
  const gaps = kept.flatMap((run) => {
    for (const { seq, reason } of letters.all(run.gateway, run.run) as { seq: number; reason: string }[])
      if (seq > run.counted_to) table.assign(run.id, { first: seq, last: seq, code: spanCode('dead', reason) }, revision);
    const queued = spansOf(rows.iterate(run.id) as IterableIterator<number>);
    for (const span of queued) table.assign(run.id, { ...span, code: null }, revision);
    const upTo = run.own === 1 ? run.up_to : (stored.get(watermarkKey(run)) ?? 0);
    const known = [...queued, ...table.list(run.id, run.counted_to + 1, Number.MAX_SAFE_INTEGER)];
    return between(run.counted_to + 1, upTo, known).map((gap) => ({ run: run.id, ...gap }));
  });
  const missing = gaps.reduce((sum, { first, last }) => sum + last - first + 1, 0);
  const isUnclear = missing > lost;
  const code = isUnclear ? UNKNOWN : spanCode('evicted', 'damaged');
  for (const { run, first, last } of gaps) table.assign(run, { first, last, code }, revision);
  return { audit, unclear: isUnclear ? missing : 0 };
}
