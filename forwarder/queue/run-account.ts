/** Reads the audit: the account of a run for people, and what changed in it for a reader that reports it elsewhere. */
import { RUN_SPANS_LISTED_MAX, type RunAccount, type RunCounts, type RunSpan } from '../../contract/run-account.ts';
import type { LedgerState } from './ledger.ts';
import type { RunIdentity } from './queue-messages.ts';
import type { RunAudit, RunView } from './run-audit.ts';
import type { Span } from './run-spans.ts';
import { readSpanCode } from './span-codes.ts';

/** What the question for a run finds. */
export type FoundRun =
  | { kind: 'unknown' }
  /** Several gateways have a run with these digits. */
  | { kind: 'ambiguous'; gateways: string[] }
  | { kind: 'account'; account: RunAccount };

/** Settled spans of a run, for the account of it that travels with its readings. */
export interface ChangedSpans {
  /** Of the audit at the last commit: what changes later has a higher one. */
  revision: number;
  /** The watermark, or the newest seq of a run that the forwarder numbers itself. */
  upTo: number;
  isClosed: boolean;
  /** The oldest seqs, up to this one, are only counted. */
  countedTo: number;
  /** In order; seqs between them that `isQueued` names have not left yet. */
  spans: RunSpan[];
  /** There are more: ask again from the last span on. */
  hasMore: boolean;
}

const CHANGED_MAX = 1000;
const NAMED_MAX = 5;
/** Causes in one answer, of all outcomes. */
const CAUSES_MAX = 200;

const fromSpan = ({ first, last, code }: Span): RunSpan => ({ from: first, to: last, ...readSpanCode(code) });

function countsOf(sums: Iterable<readonly [code: string, seqs: number]>, queued: number): RunCounts {
  const counts: RunCounts = { shipped: 0, queued, dead: 0, evicted: 0, missed: 0, unknown: 0 };
  for (const [code, seqs] of sums) counts[readSpanCode(code).outcome] += seqs;
  return counts;
}

function causesOf(sums: ReadonlyMap<string, number>): RunAccount['causes'] {
  const causes: Record<string, Record<string, number>> = { dead: {}, evicted: {}, missed: {} };
  for (const [code, seqs] of [...sums].slice(0, CAUSES_MAX)) {
    const { outcome, cause } = readSpanCode(code);
    const group = causes[outcome];
    if (group !== undefined && cause !== null) group[cause] = seqs;
  }
  const { dead = {}, evicted = {}, missed = {} } = causes;
  return { dead, evicted, missed };
}

/** Spans from `from` to `upTo` without gaps: what is not settled is queued. One more than fits means that there are more. */
function listed(settled: readonly Span[], from: number, upTo: number): RunSpan[] {
  const spans: RunSpan[] = [];
  let next = from;
  const queuedUpTo = (to: number): void => void (to >= next && spans.push({ from: next, to, outcome: 'queued', cause: null }));
  for (const span of settled) {
    queuedUpTo(span.first - 1);
    spans.push({ ...fromSpan(span), from: Math.max(span.first, next) });
    next = span.last + 1;
  }
  if (settled.length <= RUN_SPANS_LISTED_MAX) queuedUpTo(upTo);
  return spans;
}

const seqs = ({ from, to }: Pick<RunSpan, 'from' | 'to'>): string => (from === to ? `${from}` : `${from} to ${to}`);

const named = (spans: readonly RunSpan[]): string => {
  const texts = spans
    .slice(0, NAMED_MAX)
    .map((span) => `${seqs(span)} (${span.outcome}${span.cause === null ? '' : `: ${span.cause}`})`);
  return spans.length > NAMED_MAX ? `${texts.join(', ')} and more` : texts.join(', ');
};

const plural = (count: number): string => (count === 1 ? '1 reading' : `${count} readings`);

function verdictOf(
  { queued, isClosed, upTo }: RunView,
  counts: RunCounts,
  counted: RunAccount['counted_only'],
  spans: RunSpan[],
): string {
  const lost = counts.dead + counts.evicted + counts.missed;
  const parts: string[] = [];
  if (upTo === 0) parts.push('no reading yet');
  else if (counts.shipped === upTo) parts.push(`complete from 1 to ${upTo}`);
  else if (lost > 0) {
    const missing = spans.filter(({ outcome }) => outcome === 'dead' || outcome === 'evicted' || outcome === 'missed');
    parts.push(`missing: ${plural(lost)} of ${upTo}${missing.length === 0 ? '' : `: ${named(missing)}`}`);
  } else if (counts.unknown === 0) parts.push(`nothing is missing from 1 to ${upTo}`);
  if (queued > 0) parts.push(`${plural(queued)} queued`);
  if (counted !== null) parts.push(`${seqs(counted)} counted only`);
  if (counts.unknown > 0) parts.push(`unknown what became of ${counts.unknown}: from before the account began, or damaged`);
  if (!isClosed) parts.push('the run is open');
  return parts.join('; ');
}

/** The account of a run, from `from` on. `gateway`: null for any, if only one gateway has the run. */
export function accountOf(
  audit: RunAudit,
  ledger: LedgerState,
  run: string,
  gateway: string | null,
  from: number | null,
): FoundRun {
  const [known, other] = audit.find(run, gateway);
  if (known === undefined) return { kind: 'unknown' };
  if (other !== undefined) return { kind: 'ambiguous', gateways: audit.find(run, gateway).map((each) => each.gateway) };
  const view = audit.view(ledger, known, Date.now());
  const { counted_to: countedTo, counted } = view.run;
  const counts = countsOf(view.sums, view.queued);
  const countedSum = Object.values(counted).reduce((sum, count) => sum + count, 0);
  const countedOnly =
    countedTo === 0
      ? null
      : { from: 1, to: countedTo, counts: countsOf(Object.entries(counted), Math.max(0, countedTo - countedSum)) };
  const first = Math.max(from ?? 1, countedTo + 1);
  const spans = listed(audit.list(view, first, RUN_SPANS_LISTED_MAX + 1), first, view.upTo);
  const next = spans[RUN_SPANS_LISTED_MAX];
  return {
    kind: 'account',
    account: {
      gateway: known.gateway,
      run,
      state: view.isClosed ? 'closed' : 'open',
      watermark: view.upTo,
      counts,
      causes: causesOf(view.sums),
      counted_only: countedOnly,
      spans: spans.slice(0, RUN_SPANS_LISTED_MAX),
      next_from: next?.from ?? null,
      complete: counts.shipped === view.upTo,
      verdict: verdictOf(view, counts, countedOnly, spans).slice(0, 2000),
    },
  };
}

/**
 * Settled spans of a run that were written after revision `since` (0: all) and begin at or below `upTo`. Undefined: the run is unknown.
 * A span that grew or was joined to another counts as written; the newest shipped span is always there, because it grows without a
 * revision. A dead letter that was retried has no span until it is settled again.
 */
export function spansSince(
  audit: RunAudit,
  ledger: LedgerState,
  run: RunIdentity,
  since: number,
  upTo: number,
): ChangedSpans | undefined {
  const [known] = audit.find(run.run, run.gateway);
  if (known === undefined) return undefined;
  const view = audit.view(ledger, known, Date.now());
  const spans = audit.changedSince(view, since, upTo, CHANGED_MAX);
  return {
    revision: ledger.audit.revision,
    upTo: view.upTo,
    isClosed: view.isClosed,
    countedTo: known.counted_to,
    spans: spans.slice(0, CHANGED_MAX).map(fromSpan),
    hasMore: spans.length >= CHANGED_MAX,
  };
}
