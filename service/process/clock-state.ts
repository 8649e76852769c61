/** Whether the clock of this box can be trusted: the limits that bridge, forwarder and doctor share. */
import type { Reading } from '../../contract/reading.ts';

/** A clock that shows an earlier year is wrong: this release did not exist yet. */
const BUILD_YEAR = 2026;
/** Tolerated difference between this box and the stream, beyond what the Date header's resolution of 1 s leaves open. */
const TOLERANCE_MS = 5000;

/** True if the clock shows a time before this release was built. */
export function isBeforeBuild(now: Date): boolean {
  return now.getUTCFullYear() < BUILD_YEAR;
}

/** True if the clock differs too much from the stream's; `aheadMs` is how far this box is ahead, null if not known. */
export function isOffStream(aheadMs: number | null): aheadMs is number {
  return aheadMs !== null && Math.abs(aheadMs) > TOLERANCE_MS;
}

/** The `clock` field of a reading, from the year and from the difference to the stream's clock that the forwarder has measured, if any. */
export function clockState(now: Date, forwarder: { clock_ahead_ms: number | null } | undefined): Reading['clock'] {
  if (isBeforeBuild(now)) return 'unsynced';
  const aheadMs = forwarder?.clock_ahead_ms ?? null;
  if (aheadMs === null) return 'unknown';
  return isOffStream(aheadMs) ? 'unsynced' : 'synced';
}
