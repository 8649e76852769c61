import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startBench, type RadioBench } from './support/radio-bench.ts';
import { startVirtualRadio, virtualRadioMissing, type VirtualRadio } from './support/virtual-radio.ts';

const DROPPING = 1;
const range = (from: number, count: number): number[] => Array.from({ length: count }, (_, index) => from + index);

/** Ends the links of these straps `times` times, `everyMs` apart. */
async function drop(radio: VirtualRadio, ids: readonly number[], times: number, everyMs: number): Promise<void> {
  for (let i = 0; i < times; i += 1) {
    for (const id of ids) {
      await radio.op('terminate', { id, reason: 0x13 });
      await sleep(everyMs / ids.length);
    }
  }
}

/** From the end of a link to the next reading of the dropping strap, in ms. */
const reconnectP50 = (bench: RadioBench): number => bench.strap(DROPPING)?.status().reconnect_ms_p50 ?? Infinity;

describe('a strap that drops is connected again soon', { skip: virtualRadioMissing() }, () => {
  test('beside four straps that other devices hold: p50 under 2 s, and no pause of 5 s', async (t) => {
    const radio = await startVirtualRadio(t);
    await radio.add(DROPPING, { name: 'Drops', bpm: 71, period: 0.3 });
    for (const id of range(2, 4)) await radio.add(id, { name: `Taken${id}`, kind: 'scan' });
    const bench = await startBench(t, radio, { limits: { backoffMinMs: 500, backoffMaxMs: 60_000 } });
    await bench.flows(DROPPING);
    const since = performance.now();
    await drop(radio, [DROPPING], 8, 4000);
    const longest = bench.longestPauseMs(DROPPING, since);
    const p50 = reconnectP50(bench);
    t.diagnostic(`reconnect p50 ${p50} ms, longest pause ${Math.round(longest)} ms`);
    assert.ok(p50 < 2000, `p50 ${p50} ms`);
    assert.ok(longest < 5000, `longest pause ${Math.round(longest)} ms`);
    for (const id of range(2, 4)) {
      assert.equal(bench.strap(id)?.link.state, 'taken');
      assert.equal(bench.strap(id)?.status().connects, 0);
    }
    await bench.settled();
  });

  test('beside thirty that never accept and eight that drop as well: p50 under 3 s, and noble is not restarted', async (t) => {
    const radio = await startVirtualRadio(t);
    await radio.add(DROPPING, { name: 'Drops', bpm: 71, period: 0.3 });
    const flaky = range(2, 8);
    for (const id of flaky) await radio.add(id, { name: `Flaky${id}`, period: 0.5 });
    const bench = await startBench(t, radio, {
      environment: { BLE_MAX_STRAPS: '64' },
      limits: { backoffMinMs: 500, backoffMaxMs: 60_000 },
    });
    await Promise.all([DROPPING, ...flaky].map(async (id) => await bench.flows(id)));
    for (const id of range(20, 30)) await radio.add(id, { name: `Phantom${id}`, accepts: false });
    await sleep(3000);
    await drop(radio, [DROPPING, ...flaky], 5, 9000);
    await bench.flows(DROPPING);
    const p50 = reconnectP50(bench);
    t.diagnostic(`reconnect p50 ${p50} ms; all straps: ${JSON.stringify(bench.session.status())}`);
    assert.ok(p50 < 3000, `p50 ${p50} ms`);
    assert.equal((await radio.state()).ext.length, 1, 'one noble');
    await bench.settled();
  });
});
