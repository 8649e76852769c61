/** Straps that tell their name only over a link: which strap they are, over unmodified noble. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '../support/eventually.ts';
import { advertisingData } from './behaviours/behaviour.ts';
import { startBench, type RadioBench } from './support/radio-bench.ts';
import { startVirtualRadio, strapAddress, virtualRadioMissing } from './support/virtual-radio.ts';

const ALIAS = { BLE_ALIASES: 'Fenix 8*=anna' };
const WATCH = { adv: advertisingData({ uuids: ['180d'] }), scan_rsp: '', gatt_name: 'Fenix 8 Pro', bpm: 71, period: 0.3 };
const devices = (bench: RadioBench): string[] => [...new Set(bench.readings.map(({ device }) => device))].sort();

describe('a name that only a link tells', { skip: virtualRadioMissing() }, () => {
  test('a watch with a new address stays one device: each of its readings has the alias, and there is one gap', async (t) => {
    const radio = await startVirtualRadio(t);
    await radio.add(1, WATCH);
    const bench = await startBench(t, radio, { environment: ALIAS });
    await bench.flows(1, 3);
    await radio.op('vanish', { id: 1 });
    await radio.add(2, { ...WATCH, bpm: 72 });
    await eventually(() => bench.readings.filter(({ heart_rate }) => heart_rate === 72).length >= 3, {
      withinMs: 40_000,
      what: 'readings with the new address',
    });
    assert.deepEqual(devices(bench), ['anna']);
    assert.deepEqual(
      bench.session.straps.all.map(({ address }) => address),
      [strapAddress(2)],
    );
    assert.deepEqual(
      bench.gaps.map(({ device, gap }) => [device, gap.cause]),
      [['anna', 'out_of_range']],
    );
    const { readings, reconnects, connects, name } = bench.strap(2)?.status() ?? {};
    assert.ok((readings ?? 0) >= 6, `the readings of both addresses are counted, not ${readings}`);
    assert.deepEqual([reconnects, connects, name], [1, 2, 'Fenix 8 Pro']);
    await bench.settled();
  });

  test('one that BLE_DENY excludes by it delivers nothing, is let go, and is not connected again', async (t) => {
    const radio = await startVirtualRadio(t);
    await radio.add(1, WATCH);
    const bench = await startBench(t, radio, { environment: { BLE_DENY: 'fenix*' } });
    await eventually(() => bench.statistics.connects === 1, { what: 'a link, to learn the name' });
    await eventually(async () => (await radio.state()).periph['1']?.conns === 0, { what: 'the link ends' });
    await sleep(6000);
    assert.deepEqual([bench.readings.length, bench.statistics.connects, bench.session.straps.all.length], [0, 1, 0]);
    await bench.settled();
  });
});
