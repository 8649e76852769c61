import assert from 'node:assert/strict';
import { test } from 'node:test';
import { soak } from './support/soak.ts';
import { virtualRadioMissing } from './support/virtual-radio.ts';

test(
  'twenty minutes of faults, phantoms and taken straps: no crash, flat memory, every notification that reached noble in the stream',
  { skip: virtualRadioMissing() },
  async (t) => {
    const seed = Date.now() % 1_000_000;
    t.diagnostic(`seed ${seed}`);
    const result = await soak(t, { seconds: 1200, seed });
    t.diagnostic(JSON.stringify(result));
    // The test itself keeps the number of each notification (about 60 bytes). Detects a leak of 10 KB per reconnect.
    const [early = 0] = result.heapMiB.slice(1);
    const late = result.heapMiB.at(-1) ?? Infinity;
    assert.ok(late < early + (result.delivered * 60) / 2 ** 20 + 4, `heap in MiB: ${result.heapMiB.join(', ')}`);
  },
);
