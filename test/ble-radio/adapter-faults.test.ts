import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { sharedRadio } from './support/shared-radio.ts';
import { virtualRadioMissing } from './support/virtual-radio.ts';

describe('a faulty adapter recovers without help', { skip: virtualRadioMissing() }, () => {
  const shared = sharedRadio(
    { 1: { name: 'HR1', bpm: 71, period: 0.2 }, 2: { name: 'HR2', bpm: 72, period: 0.2 } },
    { ladder: { rungMs: 1000 } },
  );

  const unplugged = async (awayMs: number): Promise<number> => {
    const { radio, bench } = shared;
    process.env['NOBLE_HCI_H4_RECONNECT_MS'] = String(awayMs);
    const from = performance.now();
    await radio.op('unplug');
    await eventually(() => bench.session.straps.all.every(({ link }) => link.state !== 'streaming'));
    await Promise.all([bench.flows(1), bench.flows(2)]);
    await bench.settled();
    // Nothing of the old noble is left: one scan, one link per strap.
    const state = await radio.state();
    assert.equal(state.ext.length, 1);
    assert.equal(state.ext[0]?.conns.length, 2);
    return Math.round(performance.now() - from);
  };

  for (const awayMs of [300, 2000])
    test(`unplugged for ${awayMs / 1000} s, then back`, async (t) =>
      t.diagnostic(`both straps stream again after ${await unplugged(awayMs)} ms`));

  test('while the scan is refused (0x0c) and a strap is missing, the other one keeps streaming', async (t) => {
    const { radio, bench } = shared;
    const since = performance.now();
    await radio.op('fault', { scan_disallowed: true });
    await radio.op('terminate', { id: 1 });
    await eventually(() => bench.session.checks()[0]?.code === 'radio_scan_refused');
    await radio.op('fault', {});
    t.diagnostic(`readings again ${Math.round(await bench.flows(1))} ms after the scan is allowed`);
    assert.ok(bench.longestPauseMs(2, since) < 5000);
    await bench.settled();
  });

  test('an adapter that receives but refuses every connect (0x0c) is reset by a restart of noble', async (t) => {
    const { radio, bench } = shared;
    const from = performance.now();
    await radio.op('stick');
    for (const id of [1, 2]) await radio.op('terminate', { id });
    await Promise.all([bench.flows(1), bench.flows(2)]);
    t.diagnostic(`both straps stream again after ${Math.round(performance.now() - from)} ms`);
    assert.ok((bench.statistics.disconnects['failed'] ?? 0) >= 6);
    await bench.settled();
  });
});
