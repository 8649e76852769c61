/** Accounts as they are written into the stream: changed spans of a run become JSON texts of at most ACCOUNT_MAX_BYTES. */
import { ACCOUNT_MAX_BYTES, type AccountException, type StreamAccount } from '../../contract/stream-account.ts';
import type { Span } from './run-spans.ts';
import { readSpanCode, SHIPPED } from './span-codes.ts';

/** Room for the fields beside the exceptions. */
const HEAD_BYTES = 160;

export interface SpanChanges {
  run: string;
  /** In order; a seq between two spans is queued, or did not change. */
  spans: readonly Span[];
  /** The oldest seqs, up to `to`, of which only numbers are kept; absent if that is nothing new. */
  counted?: { to: number; counts: Record<string, number> };
  /** The run has ended, and its last seq is in the last span, or counted. */
  isFinal: boolean;
  /** The time of the next account. */
  nextAt: () => number;
}

function exceptionOf({ first, last, code }: Span): AccountException | undefined {
  if (code === SHIPPED) return undefined;
  const { outcome, cause } = readSpanCode(code);
  return {
    from: first,
    to: last,
    outcome: outcome === 'dead' || outcome === 'evicted' || outcome === 'missed' ? outcome : 'unknown',
    cause: cause ?? 'unknown',
  };
}

/** The accounts that report these changes, in the order of their seqs. */
export function accountsOf({ run, spans, counted, isFinal, nextAt }: SpanChanges): StreamAccount[] {
  const accounts: StreamAccount[] = [];
  if (counted !== undefined)
    accounts.push({ run, from: 1, to: counted.to, except: [], at: nextAt(), counted: { ...counted.counts } });
  let current: StreamAccount | undefined;
  let bytes = 0;
  for (const span of spans) {
    const exception = exceptionOf(span);
    const more = exception === undefined ? 0 : JSON.stringify(exception).length + 1;
    if (current === undefined || span.first !== current.to + 1 || bytes + more > ACCOUNT_MAX_BYTES) {
      current = { run, from: span.first, to: span.last, except: [], at: nextAt() };
      bytes = HEAD_BYTES;
      accounts.push(current);
    }
    current.to = span.last;
    if (exception !== undefined) current.except.push(exception);
    bytes += more;
  }
  const last = accounts.at(-1);
  if (isFinal && last !== undefined) last.final = true;
  return accounts;
}
