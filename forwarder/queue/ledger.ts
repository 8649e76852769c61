/**
 * The ledger: accepted = shipped + queued + dead + evicted, always. It is kept in the state row and written in the same transactions as
 * the rows that it counts. Readings that were lost before acceptance are `missed`, and outside of the equation.
 */
import type { Ledger } from '../../contract/forwarder-status.ts';
import type { Causes } from './queue-messages.ts';
import type { QueueReason } from './queue-mode.ts';

/** A run by its number, its newest shipped span (none if `last` < `first`), and the newest seq if the forwarder numbered it itself. */
export type RunTail = [run: number, first: number, last: number, upTo: number];

/** The part of the audit (run-audit.ts) that changes with nearly every commit. */
export interface AuditState {
  /** Counts changes of the table of spans. */
  revision: number;
  /** Tails of the runs that were used last, the last one first. */
  hot: RunTail[];
}

export const emptyAudit = (): AuditState => ({ revision: 0, hot: [] });

export interface LedgerState {
  /** Id of the next row. Ids are never used twice, although SQLite would reuse those of deleted rows. */
  nextRowId: number;
  accepted: number;
  shipped: number;
  queued: number;
  dead: number;
  /** Bytes of their payloads. */
  deadBytes: number;
  evictedBy: Record<string, number>;
  missedBy: Record<string, number>;
  deadBy: Record<string, number>;
  /** The report of the last damage, until it is acknowledged: `queue_damaged: <detail>`; empty if there is none. */
  damage: string;
  /**
   * At most so many commits were lost with damaged files: what they changed is in none of the counts. Null: any number, because the counts
   * themselves were lost. Absent: none.
   */
  commitsLost?: number | null;
  /** True from opening the file until an orderly close: while it is, there is a write-ahead log beside the file. */
  open: boolean;
  audit: AuditState;
}

export const emptyLedger = (): LedgerState => ({
  nextRowId: 1,
  accepted: 0,
  shipped: 0,
  queued: 0,
  dead: 0,
  deadBytes: 0,
  evictedBy: {},
  missedBy: {},
  deadBy: {},
  damage: '',
  open: false,
  audit: emptyAudit(),
});

export const total = (counts: Readonly<Record<string, number>>): number =>
  Object.values(counts).reduce((sum, count) => sum + count, 0);

export function addTo(counts: Record<string, number>, key: string, amount: number): void {
  if (amount !== 0) counts[key] = (Object.hasOwn(counts, key) ? (counts[key] ?? 0) : 0) + amount;
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

export const commitsLostOf = ({ commitsLost = 0 }: LedgerState): number | null => commitsLost;

/** How the equation is violated, or undefined if it holds. */
export function imbalance(state: LedgerState): string | undefined {
  const { accepted, shipped, queued, dead } = state;
  const evicted = total(state.evictedBy);
  return accepted === shipped + queued + dead + evicted
    ? undefined
    : `accepted ${accepted} != shipped ${shipped} + queued ${queued} + dead ${dead} + evicted ${evicted}`;
}

const DAMAGE_CODE = 'queue_damaged';

/** The report of damage as the state row keeps it. */
export const damageText = (detail: string): string => `${DAMAGE_CODE}: ${detail}`;

/** The report of the last damage, or null if there was none or it was acknowledged. */
export function damageReport({ damage }: LedgerState): QueueReason | null {
  return damage === '' ? null : { code: DAMAGE_CODE, detail: damage.slice(damageText('').length) };
}
