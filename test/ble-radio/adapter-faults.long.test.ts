import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { sharedRadio } from './support/shared-radio.ts';
import { virtualRadioMissing } from './support/virtual-radio.ts';

describe('an adapter that is absent for longer recovers without help', { skip: virtualRadioMissing() }, () => {
  const shared = sharedRadio({ 1: { name: 'HR1', bpm: 71, period: 0.2 }, 2: { name: 'HR2', bpm: 72, period: 0.2 } });

  const unplugged = async (awayMs: number): Promise<number> => {
    const { radio, bench } = shared;
    process.env['NOBLE_HCI_H4_RECONNECT_MS'] = String(awayMs);
    const from = performance.now();
    await radio.op('unplug');
    await eventually(() => bench.session.straps.all.every(({ link }) => link.state !== 'streaming'));
    await Promise.all([bench.flows(1, 2, awayMs + 45_000), bench.flows(2, 2, awayMs + 45_000)]);
    await bench.settled();
    // Nothing of the old noble is left: one scan, one link per strap.
    const state = await radio.state();
    assert.equal(state.ext.length, 1);
    assert.equal(state.ext[0]?.conns.length, 2);
    return Math.round(performance.now() - from);
  };

  test('unplugged for 60 s: the gap is reported with its cause', async (t) => {
    const { bench } = shared;
    bench.gaps.splice(0);
    t.diagnostic(`both straps stream again after ${await unplugged(60_000)} ms`);
    for (const device of ['hr1-000001', 'hr2-000002'])
      assert.deepEqual(
        bench.gaps.filter((reported) => reported.device === device).map(({ gap }) => gap.cause),
        ['adapter'],
      );
  });
});
