import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { startBench } from './support/radio-bench.ts';
import { startVirtualRadio, virtualRadioMissing } from './support/virtual-radio.ts';

const range = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1);

describe('many straps', { skip: virtualRadioMissing() }, () => {
  test('sixteen straps stream at once, and BLE_MAX_STRAPS keeps a seventeenth waiting until one leaves', async (t) => {
    const radio = await startVirtualRadio(t);
    for (const id of range(17)) await radio.add(id, { name: `HR${id}`, bpm: 100 + id, period: 0.5 });
    const bench = await startBench(t, radio);
    const streaming = (): number[] => range(17).filter((id) => bench.strap(id)?.link.receiving);
    await eventually(() => streaming().length === 16, { withinMs: 60_000, what: 'sixteen straps' });
    await Promise.all(streaming().map(async (id) => await bench.flows(id, 3)));
    for (const id of streaming()) assert.ok(bench.readingsOf(id).every(({ heart_rate }) => heart_rate === 100 + id));
    const waiting = range(17).find((id) => !streaming().includes(id)) ?? 0;
    assert.equal(bench.session.straps.all.filter(({ link }) => link.connected).length, 16);
    assert.equal(bench.strap(waiting)?.status().connects, 0);
    const leaver = streaming()[0] ?? 0;
    await radio.op('terminate', { id: leaver });
    await radio.op('vanish', { id: leaver });
    await bench.flows(waiting);
    assert.equal(bench.session.straps.all.filter(({ link }) => link.connected).length, 16);
    await bench.settled();
  });

  for (const limit_in of ['status', 'event'])
    test(`a limit of three links, reported in the ${limit_in}, is learned from one refusal, and a free slot is used`, async (t) => {
      const radio = await startVirtualRadio(t);
      await radio.op('fault', { max_links: 3, limit_in });
      for (const id of range(6)) await radio.add(id, { name: `HR${id}`, period: 0.3 });
      const bench = await startBench(t, radio);
      await eventually(() => bench.session.status().straps_limit === 3, { what: 'the limit' });
      await eventually(
        () => bench.session.straps.all.filter(({ link }) => link.receiving).length === 3 && bench.session.straps.all.length === 6,
      );
      const since = performance.now();
      const connected = range(6).filter((id) => bench.strap(id)?.link.connected);
      await Promise.all(connected.map(async (id) => await bench.flows(id, 8)));
      const { refusals } = await radio.state();
      assert.equal(refusals, 1, 'the limit is learned from one refusal');
      for (const id of connected) assert.ok(bench.longestPauseMs(id, since) < 5000);
      await radio.op('terminate', { id: connected[0] ?? 0 });
      await radio.op('vanish', { id: connected[0] ?? 0 });
      await eventually(() => range(6).some((id) => !connected.includes(id) && bench.strap(id)?.link.receiving), {
        what: 'a waiting strap uses the free slot',
      });
      assert.equal(bench.session.status().straps_limit, 3);
      assert.equal((await radio.state()).refusals, refusals);
      await bench.settled();
    });
});
