import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { startBench } from './support/radio-bench.ts';
import { startVirtualRadio, strapAddress, virtualRadioMissing } from './support/virtual-radio.ts';

describe('strangers do not take the slots of our own straps', { skip: virtualRadioMissing() }, () => {
  test('with every slot taken by strangers that send nothing, a strap with an alias is connected within seconds', async (t) => {
    const radio = await startVirtualRadio(t);
    for (const id of [2, 3, 4, 5]) await radio.add(id, { name: `Mute${id}`, period: 0 });
    const bench = await startBench(t, radio, {
      environment: { BLE_MAX_STRAPS: '3', BLE_ALIASES: `${strapAddress(1)}=anna`, BLE_SILENCE_MS: '60000' },
    });
    const connected = (): number => bench.session.straps.all.filter(({ link }) => link.connected).length;
    await eventually(() => connected() === 3, { what: 'three strangers hold the slots' });
    await radio.add(1, { name: 'Mine', bpm: 71, period: 0.3 });
    const from = performance.now();
    await bench.flows(1, 2, 15_000);
    t.diagnostic(`two readings after ${Math.round(performance.now() - from)} ms`);
    assert.deepEqual([...new Set(bench.readings.map(({ device }) => device))], ['anna']);
    assert.ok(connected() <= 3);
    await bench.settled();
  });
});
