/**
 * The account of every reading: accepted = shipped + queued + dead + evicted, always. Kept in the state row, written in the same
 * transactions as the rows it counts. What was dropped before acceptance is `missed` and stands outside.
 */
import type { Ledger } from '../../contract/service-status.ts';
import type { Causes, RunWatermark } from './queue-messages.ts';

export interface LedgerState {
  /** Id of the next row: never given twice, though SQLite would give ids of deleted rows again. */
  nextRowId: number;
  accepted: number;
  shipped: number;
  queued: number;
  dead: number;
  evictedBy: Record<string, number>;
  missedBy: Record<string, number>;
  deadBy: Record<string, number>;
  /** In the order of their last use, newest last. */
  marks: RunWatermark[];
  /** What was found damaged, until it is acknowledged. */
  damage: string;
  /** True from open to a close in order: a file that says so has a write-ahead log beside it. */
  open: boolean;
}

/** Runs whose marks are kept: a box sees a new run at each start of a bridge. */
const MARKS_MAX = 200;

export const emptyLedger = (): LedgerState => ({
  nextRowId: 1,
  accepted: 0,
  shipped: 0,
  queued: 0,
  dead: 0,
  evictedBy: {},
  missedBy: {},
  deadBy: {},
  marks: [],
  damage: '',
  open: false,
});

export const total = (counts: Readonly<Record<string, number>>): number =>
  Object.values(counts).reduce((sum, count) => sum + count, 0);

export function addTo(counts: Record<string, number>, key: string, amount: number): void {
  if (amount !== 0) counts[key] = (counts[key] ?? 0) + amount;
}

export function ledgerOf(state: LedgerState): Ledger {
  return {
    accepted: state.accepted,
    shipped: state.shipped,
    queued: state.queued,
    dead: state.dead,
    evicted: total(state.evictedBy),
    missed: total(state.missedBy),
  };
}

export function causesOf(state: LedgerState): Causes {
  return { evicted: { ...state.evictedBy }, missed: { ...state.missedBy }, dead: { ...state.deadBy } };
}

/** What is wrong with an account, or undefined. */
export function imbalance(state: LedgerState): string | undefined {
  const { accepted, shipped, queued, dead } = state;
  const evicted = total(state.evictedBy);
  return accepted === shipped + queued + dead + evicted
    ? undefined
    : `accepted ${accepted} != shipped ${shipped} + queued ${queued} + dead ${dead} + evicted ${evicted}`;
}

/** Moves a run's mark; what its `missed` grew by is booked. */
export function moveWatermark(state: LedgerState, mark: RunWatermark): void {
  const index = state.marks.findIndex(({ run }) => run === mark.run);
  const before = index < 0 ? undefined : state.marks[index];
  for (const [cause, count] of Object.entries(mark.missed)) addTo(state.missedBy, cause, count - (before?.missed[cause] ?? 0));
  if (index >= 0) state.marks.splice(index, 1);
  state.marks.push(mark);
  if (state.marks.length > MARKS_MAX) state.marks.splice(0, state.marks.length - MARKS_MAX);
}
