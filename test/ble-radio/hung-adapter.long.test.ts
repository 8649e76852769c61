import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { HrError } from '../../service/errors/errors.ts';
import { startBench } from './support/radio-bench.ts';
import { startVirtualRadio, virtualRadioMissing } from './support/virtual-radio.ts';

describe('an adapter that hangs', { skip: virtualRadioMissing() }, () => {
  test('for a while: straps stream again afterwards', async (t) => {
    const radio = await startVirtualRadio(t);
    await radio.add(1, { name: 'HR1', bpm: 71, period: 0.2 });
    const bench = await startBench(t, radio, { ladder: { rungMs: 2000 } });
    await bench.flows(1);
    radio.hang(true);
    await eventually(() => bench.session.radio.state !== 'powered_on', { withinMs: 60_000 });
    radio.hang(false);
    t.diagnostic(`readings again ${Math.round(await bench.flows(1))} ms after it answers`);
    assert.deepEqual(bench.fatal, []);
  });

  test('for good: the bridge gives up with a code, and its status has the reason', async (t) => {
    const radio = await startVirtualRadio(t);
    await radio.add(1, { name: 'HR1', bpm: 71, period: 0.2 });
    const bench = await startBench(t, radio, { ladder: { rungMs: 1000, rebuildsMax: 2 } });
    await bench.flows(1);
    radio.hang(true);
    t.after(() => radio.hang(false));
    const from = performance.now();
    await eventually(() => bench.fatal.length > 0, { withinMs: 120_000 });
    t.diagnostic(`gave up after ${Math.round(performance.now() - from)} ms`);
    const [error] = bench.fatal;
    assert.ok(error instanceof HrError && error.code === 'radio_stuck');
    assert.equal(bench.session.checks()[0]?.code, 'radio_stuck');
  });
});
