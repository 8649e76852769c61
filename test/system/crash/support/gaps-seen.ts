/** The gaps that a witness received, and the status of a bridge that was shut down. */
import assert from 'node:assert/strict';
import { parseGap } from '../../../../contract/device-status.ts';
import { eventually } from '../../../support/eventually.ts';
import type { Witness } from './witness.ts';

/** The run of a bridge that was shut down in order, and its last seq. */
export async function lastOfBridge(witness: Witness): Promise<{ run: string; last: number }> {
  return await eventually(() => {
    const status = witness.statuses.get('ble-bridge');
    return status?.state === 'offline' && status.bridge !== undefined
      ? { run: status.bridge.run, last: status.bridge.outbox.last_seq }
      : undefined;
  });
}

/** The gaps with one cause; each matches the schema and ends after it begins. */
export function gapsOf(witness: Witness, cause: string): Witness['gaps'] {
  const gaps = witness.gaps.filter((gap) => gap.cause === cause);
  for (const gap of gaps) {
    assert.ok(parseGap(JSON.stringify(gap)).ok);
    assert.ok(Date.parse(gap.from) <= Date.parse(gap.to), JSON.stringify(gap));
    assert.match(gap.device, /^replay-numbered-/);
  }
  return gaps;
}
