/**
 * The audit: what became of every seq of every run, in the same transactions as the rows, dead letters and watermarks:
 * 1 to watermark = shipped + queued + dead + evicted + missed, by identity. Only what is settled is recorded; the rest is queued.
 *
 * Shipping advances one span, the *tail*: the shipped span with the highest seqs of its run. Tails of the runs that were used last
 * are in the state row, which every commit writes anyway: a row of their own would cost another page per commit. Everything else is in
 * the table of spans. A run has at most SPANS_MAX of them; beyond that the oldest become counts.
 */
import type { Database } from '../../service/storage/sqlite.ts';
import { isBeforeBuild } from '../../service/process/clock-state.ts';
import type { AuditState, LedgerState, RunTail } from './ledger.ts';
import type { DeadLetterInput, MissedSeqs, RunIdentity } from './queue-messages.ts';
import { RunSpans, spanLength, type Span } from './run-spans.ts';
import { newRun, RunTable, type Run } from './run-table.ts';
import { SHIPPED, spanCode, UNKNOWN } from './span-codes.ts';
import type { RemovedRows } from './stored-rows.ts';
import type { Watermarks } from './watermarks.ts';

export const SPANS_MAX = 10_000;
/** So many spans become counts at once. */
const MERGED = 1000;
/** Tails in the state row; with more, the row would not fit into a page. */
const HOT_MAX = 16;
const DAY_MS = 24 * 3_600_000;
/**
 * A sequencer that has not used its run for this long, with nothing queued, has ended, if it did not say so before. One that returns opens
 * the run again.
 */
const CLOSES_AFTER_MS = DAY_MS;

type Identity = Pick<DeadLetterInput, 'gateway' | 'run' | 'seq'>;

/** What is known of a run at the last commit. */
export interface RunView {
  run: Run;
  tail: Span | undefined;
  /** The watermark, or the newest seq of an own run. */
  upTo: number;
  /** Seqs by code, those that are only counted included. */
  sums: Map<string, number>;
  queued: number;
  isClosed: boolean;
}

export class RunAudit {
  readonly #runs: RunTable;
  readonly #spans: RunSpans;
  readonly #watermarks: Watermarks;
  readonly #spansMax: number;
  /** Numbers of runs in which something was settled, until the reader of this set removes them. */
  readonly touched = new Set<number>();

  constructor(database: Database, watermarks: Watermarks, spansMax = SPANS_MAX) {
    this.#runs = new RunTable(database);
    this.#spans = new RunSpans(database);
    this.#watermarks = watermarks;
    this.#spansMax = spansMax;
  }

  /** Seqs `first` to `last` were accepted. Returns the number under which their rows name the run. */
  accepted(next: LedgerState, identity: RunIdentity, first: number, last: number): number {
    const run = this.#runs.find(identity) ?? this.#firstSeen(identity);
    if (run.own === 1) {
      const tail = this.#tail(next.audit, run);
      const upTo = tail[3];
      // What the forwarder numbered and the queue did not accept, nobody holds.
      if (first > upTo + 1)
        this.#settle(next, run, { first: upTo + 1, last: first - 1 }, null, spanCode('missed', 'not_accepting'));
      this.#tail(next.audit, run)[3] = Math.max(upTo, last);
    }
    return run.id;
  }

  /** The number of the run of a reading that is queued again. One that nobody had numbered has a run of its own by now. */
  numberOf(next: LedgerState, { gateway, run, first }: RunIdentity & { first: number }): number {
    return this.#onlyOne(run)?.id ?? this.accepted(next, { gateway, run }, first, first);
  }

  /** A run whose account has expired is known by its watermark: what was before is only counted. */
  #firstSeen(identity: RunIdentity): Run {
    const stored = this.#watermarks.stored(identity);
    if (stored === undefined) return this.#runs.add({ ...newRun(identity), own: 1 });
    return this.#runs.add({ ...newRun(identity), counted_to: stored, counted: stored === 0 ? {} : { [UNKNOWN]: stored } });
  }

  /** Seqs were never accepted. */
  missed(next: LedgerState, { gateway, run, from, to, cause }: MissedSeqs): void {
    const known = this.#runs.find({ gateway, run }) ?? this.#firstSeen({ gateway, run });
    this.#settle(next, known, { first: from, last: to }, null, spanCode('missed', cause));
  }

  /** Rows were deleted, because they were shipped or evicted. */
  removed(next: LedgerState, { spans, unnumbered }: RemovedRows, code: string): void {
    for (const { run: id, first, last } of spans) {
      const run = this.#runs.byId(id);
      if (run !== undefined) this.#settle(next, run, { first, last }, null, code);
    }
    for (const identity of unnumbered) this.#settleOne(next, identity, null, code);
  }

  /** A reading became a dead letter. */
  dead(next: LedgerState, letter: DeadLetterInput): void {
    const { gateway, run, seq } = letter;
    if (gateway !== undefined && run !== null && seq !== null) this.accepted(next, { gateway, run }, seq, seq);
    this.#settleOne(next, letter, null, spanCode('dead', letter.reason));
  }

  /** The sequencer of a run says that it has ended. If it returns all the same, its watermark is used later than this. */
  ended(identity: RunIdentity, nowMs: number): void {
    const run = this.#runs.find(identity);
    if (run === undefined || run.own === 1) return;
    this.#runs.write({ ...run, closed_ms: nowMs });
    this.touched.add(run.id);
  }

  /** A dead letter went: it was queued again (null), evicted, or got another reason. */
  letter(
    next: LedgerState,
    letter: Omit<Identity, 'gateway'> & { gateway?: string | null; reason: string },
    code: string | null,
  ): void {
    const { run, seq, gateway } = letter;
    const identity = { run, seq, ...(typeof gateway === 'string' ? { gateway } : {}) };
    this.#settleOne(next, identity, spanCode('dead', letter.reason), code);
  }

  /** A reading of an older version may have no run, and a dead letter no gateway. */
  #settleOne(next: LedgerState, { gateway, run, seq }: Identity, before: string | null, code: string | null): void {
    if (run === null || seq === null) return;
    const known = (gateway === undefined ? undefined : this.#runs.find({ gateway, run })) ?? this.#onlyOne(run);
    if (known !== undefined) return this.#settle(next, known, { first: seq, last: seq }, before, code);
    // Its account has expired.
    const added = this.#runs.add({
      ...newRun({ gateway: gateway ?? '', run }),
      own: 1,
      up_to: seq,
      counted_to: seq,
      counted: { [UNKNOWN]: seq },
      closed_ms: Date.now(),
    });
    this.#settle(next, added, { first: seq, last: seq }, UNKNOWN, code);
  }

  #onlyOne(run: string): Run | undefined {
    const [first, second] = this.#runs.named(run);
    return first === undefined || second !== undefined ? undefined : this.#runs.find(first);
  }

  /** The run's entry in the state row, which becomes the most recently used. */
  #tail({ hot }: AuditState, run: Run): RunTail {
    const index = hot.findIndex(([id]) => id === run.id);
    if (index === 0 && hot[0] !== undefined) return hot[0];
    const [tail = [run.id, run.tail_first, run.tail_last, run.up_to] satisfies RunTail] = index < 0 ? [] : hot.splice(index, 1);
    hot.unshift(tail);
    const oldest = hot.length > HOT_MAX ? hot.pop() : undefined;
    if (oldest !== undefined) this.#cool(oldest);
    return tail;
  }

  #cool([id, tail_first, tail_last, up_to]: RunTail): void {
    const run = this.#runs.byId(id);
    if (run !== undefined) this.#runs.write({ ...run, tail_first, tail_last, up_to });
  }

  /** `before`: what the seqs were until now; null: queued, or not known. */
  #settle(next: LedgerState, run: Run, span: Omit<Span, 'code'>, before: string | null, code: string | null): void {
    this.touched.add(run.id);
    const { first, last } = this.#settleCounted(run, span, before, code);
    if (first > last) return;
    const tail = this.#tail(next.audit, run);
    const hasTail = tail[2] >= tail[1];
    if (code === SHIPPED && hasTail && first === tail[2] + 1) {
      tail[2] = last;
      return;
    }
    next.audit.revision += 1;
    const { revision } = next.audit;
    if (hasTail) this.#spans.add(run.id, { first: tail[1], last: tail[2], code: SHIPPED }, revision);
    const isAboveAll = hasTail && first > tail[2] + 1;
    if (!isAboveAll || code !== SHIPPED) this.#spans.assign(run.id, { first, last, code }, revision);
    if (this.#spans.count(run.id) > this.#spansMax) this.#mergeOldest(run.id);
    if (isAboveAll && code === SHIPPED) {
      tail[1] = first;
      tail[2] = last;
      return;
    }
    const highest = this.#spans.highestFrom(run.id, Number.MAX_SAFE_INTEGER);
    if (highest?.code !== SHIPPED) {
      tail[1] = 1;
      tail[2] = 0;
      return;
    }
    this.#spans.remove(run.id, highest);
    tail[1] = highest.first;
    tail[2] = highest.last;
  }

  /** Settles the seqs of which only numbers are kept. Returns the others. */
  #settleCounted(run: Run, span: Omit<Span, 'code'>, before: string | null, code: string | null): Omit<Span, 'code'> {
    const last = Math.min(span.last, run.counted_to);
    const seqs = last - span.first + 1;
    if (seqs <= 0) return span;
    const counted = { ...run.counted };
    const add = (key: string, count: number): void => {
      const sum = (counted[key] ?? 0) + count;
      if (sum > 0) counted[key] = sum;
      else delete counted[key];
    };
    if (before !== null) add((counted[before] ?? 0) >= seqs ? before : UNKNOWN, -seqs);
    if (code !== null) add(code, seqs);
    this.#runs.write({ ...run, counted });
    return { first: last + 1, last: span.last };
  }

  #mergeOldest(id: number): void {
    const run = this.#runs.byId(id);
    if (run === undefined) return;
    const merged = this.#spans.takeOldest(id, Math.min(MERGED, Math.ceil(this.#spansMax / 10)));
    const counted = { ...run.counted };
    for (const span of merged) counted[span.code] = (counted[span.code] ?? 0) + spanLength(span);
    this.#runs.write({ ...run, counted, counted_to: merged.at(-1)?.last ?? run.counted_to });
  }

  /** The transaction failed: nothing was recorded. */
  rolledBack(): void {
    this.#runs.rolledBack();
    this.#spans.rolledBack();
  }

  /** Every run. */
  get all(): Run[] {
    return this.#runs.all;
  }

  byId(id: number): Run | undefined {
    return this.#runs.byId(id);
  }

  /** Runs with these digits, of every gateway or of one. */
  find(run: string, gateway: string | null): Run[] {
    return this.#runs.named(run).filter((known) => gateway === null || known.gateway === gateway);
  }

  view({ audit }: LedgerState, run: Run, nowMs: number): RunView {
    const hot = audit.hot.find(([id]) => id === run.id);
    const [, first, last, upTo] = hot ?? [run.id, run.tail_first, run.tail_last, run.up_to];
    const tail = last < first ? undefined : { first, last, code: SHIPPED };
    const sums = this.#spans.sums(run.id);
    const all = [...Object.entries(run.counted), ...(tail === undefined ? [] : [[SHIPPED, spanLength(tail)] as const])];
    for (const [code, seqs] of all) sums.set(code, (sums.get(code) ?? 0) + seqs);
    const end = run.own === 1 ? upTo : (this.#watermarks.stored(run) ?? upTo);
    const queued = Math.max(0, end - [...sums.values()].reduce((sum, seqs) => sum + seqs, 0));
    const closedMs = this.#closedMs(run, nowMs);
    return { run, tail, upTo: end, sums, queued, isClosed: queued === 0 && closedMs !== null };
  }

  /** Since when the run has not been used; null: it is in use. */
  #closedMs(run: Run, nowMs: number): number | null {
    if (run.own === 1) return run.closed_ms;
    const usedMs = this.#watermarks.usedMs(run);
    // Nobody knows any more: its watermark has expired.
    if (usedMs === undefined) return 0;
    if (run.closed_ms !== null && usedMs <= run.closed_ms) return run.closed_ms;
    return nowMs - usedMs > CLOSES_AFTER_MS ? usedMs + CLOSES_AFTER_MS : null;
  }

  /** Settled spans above those that are only counted, in order; the first may begin below `from`. */
  list({ run, tail }: RunView, from: number, limit: number): Span[] {
    const spans = this.#spans.list(run.id, from, limit);
    return tail === undefined || tail.last < from || spans.length === limit ? spans : [...spans, tail];
  }

  /**
   * Spans that were written after a revision and begin at or below `upTo`, in order; the tail is always among them, because it grows
   * without a revision. For a reader that has reported an earlier state of the run.
   */
  changedSince({ run, tail }: RunView, revision: number, upTo: number, limit: number): Span[] {
    const spans = this.#spans.changedSince(run.id, revision, upTo, limit);
    return tail === undefined || tail.first > upTo ? spans : [...spans, tail];
  }

  /** At a start: the runs that the forwarder numbered before are complete. */
  closeOwn(nowMs: number): void {
    for (const run of this.#runs.all) if (run.own === 1 && run.closed_ms === null) this.#runs.write({ ...run, closed_ms: nowMs });
  }

  /**
   * Removes the accounts of runs that have been closed for longer than `keptMs`. While a reading is queued or a dead letter waits, its
   * run stays. Nothing expires by a clock that is wrong.
   */
  expire(next: LedgerState, nowMs: number, keptMs: number): void {
    if (isBeforeBuild(new Date(nowMs))) return;
    for (const run of this.#runs.all) {
      const closedMs = this.#closedMs(run, nowMs);
      if (closedMs === null || nowMs - closedMs < keptMs) continue;
      const { queued, sums } = this.view(next, run, nowMs);
      if (queued > 0 || [...sums.keys()].some((code) => code.startsWith('dead:'))) continue;
      this.#spans.removeAll(run.id);
      this.#runs.remove(run);
      next.audit.hot = next.audit.hot.filter(([id]) => id !== run.id);
    }
  }
}
