/** The ledger of a file that replaces a damaged one, and how a report describes the salvage. */
import { addTo, emptyLedger, total, type LedgerState } from './ledger.ts';

export interface SalvageCounts {
  /** The newest state that could be read; undefined if none. */
  known: LedgerState | undefined;
  /** Commits whose effect is not known, even in number. */
  commitsUnknown: number;
  rows: number;
  dead: number;
  deadBytes: number;
  deadBy: Record<string, number>;
  lastRowId: number;
}

/**
 * The ledger, and how many readings it counts as lost: those that the damaged file had accepted and that can no longer be read are evicted
 * (`damaged`). Rows that were shipped and are back in the queue hide as many lost ones from these numbers: see `unclear` in `salvageText`.
 */
export function salvagedLedger(counts: SalvageCounts): { state: LedgerState; lost: number } {
  const { known, rows, dead, deadBytes, deadBy, commitsUnknown } = counts;
  const state: LedgerState = { ...(known ?? emptyLedger()), queued: rows, dead, deadBytes, deadBy, open: false };
  const lost = state.accepted - state.shipped - rows - dead - total(state.evictedBy);
  if (lost > 0) addTo(state.evictedBy, 'damaged', lost);
  else {
    // Rows that were shipped are back in the queue.
    const again = Math.min(state.shipped, -lost);
    state.shipped -= again;
    state.accepted += -lost - again;
  }
  state.nextRowId = Math.max(state.nextRowId, counts.lastRowId + 1);
  if (known === undefined || state.commitsLost === null) state.commitsLost = null;
  else if (commitsUnknown > 0) state.commitsLost = (state.commitsLost ?? 0) + commitsUnknown;
  return { state, lost: Math.max(0, lost) };
}

/** `unclear`: seqs that no span and no row accounts for, if they are more than the numbers show as lost. */
export function salvageText({ known, commitsUnknown, rows, dead }: SalvageCounts, lost: number, unclear: number): string {
  const unknown = [
    ...(unclear > 0 ? [`whether ${unclear} readings were shipped or are lost`] : []),
    ...(known === undefined ? ['what all commits changed'] : []),
    ...(known !== undefined && commitsUnknown > 0 ? [`what up to ${commitsUnknown} commits changed`] : []),
  ];
  const counts = `${rows} readings and ${dead} dead letters salvaged, ${lost} lost`;
  return unknown.length === 0 ? counts : `${counts}; unknown: ${unknown.join(', and ')}`;
}
