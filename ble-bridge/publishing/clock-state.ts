/** Whether the box's clock can be believed (`clock` of a reading). */
import type { Reading } from '../../contract/reading.ts';
import type { ForwarderStatus } from '../../contract/service-status.ts';
import { BUILD_YEAR } from '../../service/process/version.ts';

const TOLERANCE_MS = 5000;

/** From the year of the box, and from what the forwarder learnt from the far side's Date header. */
export function clockState(now: Date, forwarder: Pick<ForwarderStatus, 'clock_ahead_ms'> | undefined): Reading['clock'] {
  if (now.getUTCFullYear() < BUILD_YEAR) return 'unsynced';
  const ahead = forwarder?.clock_ahead_ms;
  if (ahead === undefined || ahead === null) return 'unknown';
  return Math.abs(ahead) <= TOLERANCE_MS ? 'synced' : 'unsynced';
}
