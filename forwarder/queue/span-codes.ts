/** What became of a seq, as the audit stores it: `shipped`, or an outcome and its cause, `evicted:queue_full`. Queued seqs have no code. */
import type { SpanOutcome } from '../../contract/run-account.ts';

export const SHIPPED = 'shipped';
/** Before this run was audited, or the file that knew was damaged. */
export const UNKNOWN = 'unknown';

export const spanCode = (outcome: 'dead' | 'evicted' | 'missed', cause: string): string => `${outcome}:${cause}`;

const OUTCOMES: readonly string[] = ['shipped', 'dead', 'evicted', 'missed'];

/** Outcome and cause of a code; an outcome of a newer version counts as unknown. */
export function readSpanCode(code: string): { outcome: SpanOutcome; cause: string | null } {
  const colon = code.indexOf(':');
  const outcome = colon < 0 ? code : code.slice(0, colon);
  const isKnown = (name: string): name is SpanOutcome => OUTCOMES.includes(name);
  return { outcome: isKnown(outcome) ? outcome : 'unknown', cause: colon < 0 ? null : code.slice(colon + 1) };
}
