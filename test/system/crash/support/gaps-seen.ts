/** What a witness saw of gaps, and of a bridge that ended in order. */
import assert from 'node:assert/strict';
import { parseGap } from '../../../../contract/device-status.ts';
import { eventually } from '../../../support/eventually.ts';
import type { Witness } from './witness.ts';

/** The run of a bridge that has ended in order, and its last seq. */
export async function lastOfBridge(witness: Witness): Promise<{ run: string; last: number }> {
  return await eventually(() => {
    const status = witness.statuses.get('ble-bridge');
    return status?.state === 'offline' && status.bridge !== undefined
      ? { run: status.bridge.run, last: status.bridge.outbox.last_seq }
      : undefined;
  });
}

/** Gaps of a cause; each a gap by its schema, and forward in time. */
export function gapsOf(witness: Witness, cause: string): Witness['gaps'] {
  const gaps = witness.gaps.filter((gap) => gap.cause === cause);
  for (const gap of gaps) {
    assert.ok(parseGap(JSON.stringify(gap)).ok);
    assert.ok(Date.parse(gap.from) <= Date.parse(gap.to), JSON.stringify(gap));
    assert.match(gap.device, /^replay-numbered-/);
  }
  return gaps;
}
