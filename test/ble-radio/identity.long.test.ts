import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startBench, type RadioBench } from './support/radio-bench.ts';
import { startVirtualRadio, virtualRadioMissing } from './support/virtual-radio.ts';

const ALIAS = { BLE_ALIASES: 'Fenix 8*=anna' };
const WATCH = { name: 'Fenix 8 Pro', bpm: 71, period: 0.3 };
const devices = (bench: RadioBench): string[] => [...new Set(bench.readings.map(({ device }) => device))].sort();

describe('straps are told apart', { skip: virtualRadioMissing() }, () => {
  test('two straps of one name are never merged: the second keeps its own name, also after the first has left', async (t) => {
    const radio = await startVirtualRadio(t);
    await radio.add(1, WATCH);
    const bench = await startBench(t, radio, { environment: ALIAS });
    await bench.flows(1, 2);
    await radio.add(2, { ...WATCH, bpm: 72 });
    await bench.flows(2, 2, 30_000);
    assert.deepEqual(devices(bench), ['anna', 'fenix-8-pro-000002']);
    await radio.op('vanish', { id: 1 });
    await radio.op('terminate', { id: 2 });
    await sleep(14_000);
    await bench.flows(2, 2);
    assert.deepEqual(devices(bench), ['anna', 'fenix-8-pro-000002']);
    assert.ok(bench.readings.filter(({ heart_rate }) => heart_rate === 72).every(({ device }) => device !== 'anna'));
    await bench.settled();
  });

  test('two straps of one name that both only advertise are not merged either', async (t) => {
    const radio = await startVirtualRadio(t);
    // Other devices hold both: they advertise without accepting connections.
    await radio.add(1, { ...WATCH, kind: 'scan' });
    const bench = await startBench(t, radio, { environment: ALIAS });
    await bench.reaches(1, 'taken');
    await radio.add(2, { ...WATCH, kind: 'scan' });
    await bench.reaches(2, 'taken', 30_000);
    assert.deepEqual(
      bench.session.straps.all.map(({ device }) => device),
      ['anna', 'fenix-8-pro-000002'],
    );
    await bench.settled();
  });

  test('a strap that ends its link has a gap with that cause, whatever its code', async (t) => {
    const radio = await startVirtualRadio(t);
    for (const [id, reason] of [0x13, 0x15, 0x3b, 0x1f].entries())
      await radio.add(id + 1, { name: `Ends${reason}`, bpm: 70 + id, period: 0.3 });
    const bench = await startBench(t, radio);
    const ids = [1, 2, 3, 4];
    await Promise.all(ids.map(async (id) => await bench.flows(id, 2)));
    for (const [id, reason] of [0x13, 0x15, 0x3b, 0x1f].entries()) {
      await radio.op('terminate', { id: id + 1, reason });
      await radio.op('adv', { id: id + 1, on: false });
    }
    await sleep(6000);
    for (const id of ids) await radio.op('adv', { id, on: true });
    await Promise.all(ids.map(async (id) => await bench.flows(id, 1)));
    assert.deepEqual(
      bench.gaps.map(({ gap }) => gap.cause),
      ['ended_by_strap', 'ended_by_strap', 'ended_by_strap', 'ended_by_strap'],
    );
    assert.equal(bench.strap(3)?.status().disconnects?.['unacceptable_parameters'], 1);
    await bench.settled();
  });
});
