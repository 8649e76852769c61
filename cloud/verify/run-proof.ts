/** What is known of one run: the seqs that are there, and what accounts claim of the others. */
import type { StreamAccount } from '../../contract/stream-account.ts';
import { Claims } from './claims.ts';
import { RecentAccounts } from './recent-accounts.ts';
import { SeqSet, type Interval } from './seq-set.ts';

/** Spans in the report of a run; beyond it, only their number is reported. */
export const SPANS_REPORTED_MAX = 1000;

export interface LostSpan extends Interval {
  /** `dead` (kept on the box), `evicted`, `missed`. */
  outcome: string;
  /** A code of docs/errors.md. */
  cause: string;
}

export interface RunReport {
  gateway: string;
  run: string;
  /** The highest seq that is known of. */
  last: number;
  /** Different seqs that are there. */
  present: number;
  /** Readings that are there more than once. */
  duplicates: number;
  /** The account says that the run has ended. */
  closed: boolean;
  /** Every seq from 1 to `last` is there. */
  complete: boolean;
  /** Missing, with the cause that the account names. */
  lost: LostSpan[];
  /** Missing, and no account tells why. */
  unexplained: Interval[];
  /** Not there yet, and the run is not closed. */
  pending: Interval[];
  /** Missing, and only the numbers of what became of these seqs are known. */
  counted_only: Interval[];
  /** Older than the data that was read. */
  before: Interval[];
  /** Seqs in each of these lists, also beyond those that are listed (at most 1,000). */
  seqs: { lost: number; unexplained: number; pending: number; counted_only: number; before: number };
  /** The same for people. */
  verdict: string;
}

export interface RunContext {
  /** Whether accounts about this gateway can be expected to arrive. */
  hasAccounts: boolean;
  /** Whether a run without any account may still get one. */
  mayStillCome: boolean;
  /** Data older than what was read has existed. */
  beginsLater: boolean;
  /** The time of the gateway's newest account. */
  newestAtMs: number;
}

type Lists = Pick<RunReport, 'lost' | 'unexplained' | 'pending' | 'counted_only' | 'before' | 'seqs'>;

const lengthOf = ({ from, to }: Interval): number => to - from + 1;
const seqsText = ({ from, to }: Interval): string => (from === to ? `${from}` : `${from} to ${to}`);
const NAMED_MAX = 5;
const named = (spans: readonly Interval[], textOf: (span: Interval) => string): string =>
  spans.slice(0, NAMED_MAX).map(textOf).join(', ') + (spans.length > NAMED_MAX ? ' and more' : '');

function push<Span extends Interval>(list: Span[], span: Span, isSame: (last: Span) => boolean = () => true): void {
  const last = list.at(-1);
  if (last !== undefined && last.to + 1 === span.from && isSame(last)) last.to = span.to;
  else if (list.length < SPANS_REPORTED_MAX) list.push(span);
}

/** How a seq that is missing is judged. */
interface Judge {
  /** If no account covers it. */
  unclaimed: 'pending' | 'unexplained';
  /** Up to here it may be older than the data. */
  headTo: number;
  /** Up to here only numbers are known. */
  countedTo: number;
  /** Beyond it, what is claimed as shipped may be on its way. */
  settledTo: number;
}

function kindOf(seq: number, what: string | undefined, judge: Judge): keyof Lists['seqs'] {
  if (what !== undefined && what !== 'shipped' && !what.startsWith('unknown:')) return 'lost';
  if (seq <= judge.headTo) return 'before';
  if (what === undefined) return seq <= judge.countedTo ? 'counted_only' : judge.unclaimed;
  return what === 'shipped' && seq > judge.settledTo ? 'pending' : 'unexplained';
}

/** The parts of an interval, cut after each of these seqs. */
function* cutAt({ from, to }: Interval, seqs: readonly number[]): Generator<Interval> {
  let next = from;
  for (const seq of [...seqs].sort((a, b) => a - b)) {
    if (seq < next || seq >= to) continue;
    yield { from: next, to: seq };
    next = seq + 1;
  }
  yield { from: next, to };
}

export class RunProof {
  readonly gateway: string;
  readonly run: string;
  readonly #seqs = new SeqSet();
  readonly #claims = new Claims();
  #counted: { to: number; at: number; counts: Record<string, number> } | undefined;
  #finalTo = 0;
  /** The highest seq that came with the oldest records that were read. */
  #headTo = 0;
  #accounts = 0;
  readonly #recent: RecentAccounts;
  duplicates = 0;
  /** Timestamp of the newest reading, as text: they sort by time. */
  newest = '';

  constructor(gateway: string, run: string, settleMs: number) {
    this.gateway = gateway;
    this.run = run;
    this.#recent = new RecentAccounts(settleMs);
  }

  get hasAccount(): boolean {
    return this.#accounts > 0;
  }

  /** False if the reading was there. */
  reading(seq: number, timestamp: string, isHead: boolean): boolean {
    const isNew = this.#seqs.add(seq);
    if (!isNew) this.duplicates += 1;
    if (timestamp > this.newest) this.newest = timestamp;
    if (isHead) this.#headTo = Math.max(this.#headTo, seq);
    return isNew;
  }

  /** `carriedAtMs`: time of the reading that carried it, for an account that does not tell its own. */
  account({ from, to, except, at: madeAt, counted, final }: StreamAccount, carriedAtMs: number): void {
    const at = madeAt ?? carriedAtMs;
    this.#accounts += 1;
    this.#recent.add(at, to);
    if (final === true) this.#finalTo = Math.max(this.#finalTo, to);
    if (counted !== undefined) {
      if (this.#counted === undefined || at > this.#counted.at) this.#counted = { to, at, counts: counted };
      return;
    }
    let next = from;
    for (const exception of except) {
      if (exception.from > next) this.#claims.add({ from: next, to: exception.from - 1, what: 'shipped', at });
      const { outcome = 'missing', cause } = exception;
      this.#claims.add({ from: exception.from, to: exception.to, what: `${outcome}:${cause}`, at });
      next = exception.to + 1;
    }
    if (next <= to) this.#claims.add({ from: next, to, what: 'shipped', at });
  }

  #judge(isClosed: boolean, context: RunContext): Judge {
    const isExpected = this.hasAccount ? context.hasAccounts : context.mayStillCome;
    return {
      unclaimed: !isClosed && isExpected ? 'pending' : 'unexplained',
      headTo: context.beginsLater ? Math.max(this.#headTo, this.#seqs.first - 1) : 0,
      countedTo: this.#counted?.to ?? 0,
      settledTo: isClosed ? Number.POSITIVE_INFINITY : this.#recent.settledTo(context.newestAtMs),
    };
  }

  /** What is missing, by what is known of it. */
  #lists(last: number, judge: Judge): Lists {
    const lists: Lists = {
      lost: [],
      unexplained: [],
      pending: [],
      counted_only: [],
      before: [],
      seqs: { lost: 0, unexplained: 0, pending: 0, counted_only: 0, before: 0 },
    };
    for (const missing of this.#seqs.missing(last))
      for (const { what, ...claimed } of this.#claims.about(missing))
        for (const span of cutAt(claimed, [judge.headTo, judge.countedTo, judge.settledTo])) {
          const kind = kindOf(span.from, what, judge);
          lists.seqs[kind] += lengthOf(span);
          if (kind !== 'lost') push(lists[kind], span);
          else {
            const [outcome = '', cause = ''] = (what ?? '').split(':');
            push(lists.lost, { ...span, outcome, cause }, (before) => before.outcome === outcome && before.cause === cause);
          }
        }
    return lists;
  }

  /** Of the seqs that are only counted: how many are missing beyond those that the counts explain. */
  #beyondCounts(missing: number): number {
    let explained = 0;
    for (const [code, count] of Object.entries(this.#counted?.counts ?? {}))
      if (code !== 'shipped' && code !== 'unknown') explained += count;
    return Math.max(0, missing - explained);
  }

  report(context: RunContext): RunReport {
    const last = Math.max(this.#seqs.last, this.#claims.last, this.#counted?.to ?? 0);
    const closed = this.#finalTo >= last && last > 0;
    const lists = this.#lists(last, this.#judge(closed, context));
    const beyond = this.#beyondCounts(lists.seqs.counted_only);
    if (beyond > 0) lists.seqs.unexplained += beyond;
    const complete = this.#seqs.size === last;
    const { gateway, run, duplicates } = this;
    const report = { gateway, run, last, present: this.#seqs.size, duplicates, closed, complete, ...lists };
    return { ...report, verdict: verdictOf(report, this.hasAccount) };
  }
}

function verdictOf(report: Omit<RunReport, 'verdict'>, hasAccount: boolean): string {
  const { last, complete, closed, duplicates, lost, unexplained, pending, counted_only: counted, before, seqs } = report;
  const parts: string[] = [];
  if (complete) parts.push(last === 0 ? 'no reading' : `complete from 1 to ${last}`);
  if (before.length > 0) parts.push(`older than the data: ${named(before, seqsText)}`);
  if (seqs.lost > 0)
    parts.push(
      `missing ${seqs.lost} of ${last}: ` +
        lost
          .slice(0, NAMED_MAX)
          .map((span) => `${seqsText(span)} (${span.outcome}: ${span.cause})`)
          .join(', ') +
        (lost.length > NAMED_MAX ? ' and more' : ''),
    );
  if (seqs.counted_only > 0) parts.push(`counted only: ${named(counted, seqsText)}`);
  if (seqs.unexplained > 0) {
    const which = unexplained.length === 0 ? 'more than is counted' : named(unexplained, seqsText);
    parts.push(`MISSING WITHOUT CAUSE ${seqs.unexplained} of ${last}: ${which}${hasAccount ? '' : ' (no account)'}`);
  }
  if (seqs.pending > 0) parts.push(`not there yet: ${named(pending, seqsText)}`);
  if (duplicates > 0) parts.push(`${duplicates} duplicates`);
  if (!closed) parts.push('not yet closed');
  return parts.join('; ');
}
