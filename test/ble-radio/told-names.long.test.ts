/** Straps that tell their name only over a link: which strap they are, over unmodified noble. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '../support/eventually.ts';
import { advertisingData } from './behaviours/behaviour.ts';
import { startBench, type RadioBench } from './support/radio-bench.ts';
import { startVirtualRadio, virtualRadioMissing } from './support/virtual-radio.ts';

const ALIAS = { BLE_ALIASES: 'Fenix 8*=anna' };
const WATCH = { adv: advertisingData({ uuids: ['180d'] }), scan_rsp: '', gatt_name: 'Fenix 8 Pro', bpm: 71, period: 0.3 };
const devices = (bench: RadioBench): string[] => [...new Set(bench.readings.map(({ device }) => device))].sort();

describe('a name that only a link tells', { skip: virtualRadioMissing() }, () => {
  test('two watches of one name are two devices, and none has a reading of the other', async (t) => {
    const radio = await startVirtualRadio(t);
    await radio.add(1, WATCH);
    const bench = await startBench(t, radio, { environment: ALIAS });
    await bench.flows(1, 2);
    await radio.add(2, { ...WATCH, bpm: 72 });
    await bench.flows(2, 2, 30_000);
    assert.deepEqual(devices(bench), ['anna', 'strap-000002']);
    const mixed = bench.readings.filter(({ device, heart_rate }) => (device === 'anna') !== (heart_rate === 71));
    assert.deepEqual(mixed, []);
    assert.equal(bench.strap(2)?.status().name, 'Fenix 8 Pro');
    await bench.settled();
  });

  test('one that leaves while it is not certain which strap it is becomes certain with its next link', async (t) => {
    const radio = await startVirtualRadio(t);
    await radio.add(1, WATCH);
    const bench = await startBench(t, radio, { environment: ALIAS });
    await bench.flows(1, 2);
    await radio.op('vanish', { id: 1 });
    await radio.add(2, { ...WATCH, bpm: 72 });
    await bench.reaches(2, 'connected');
    await sleep(1000);
    await radio.op('terminate', { id: 2 });
    await eventually(() => bench.readings.some(({ heart_rate }) => heart_rate === 72), {
      withinMs: 40_000,
      what: 'readings with the new address',
    });
    assert.deepEqual(devices(bench), ['anna']);
    await bench.settled();
  });
});
