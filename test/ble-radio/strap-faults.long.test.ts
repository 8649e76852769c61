import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { eventually } from '../support/eventually.ts';
import type { RadioBench } from './support/radio-bench.ts';
import { sharedRadio } from './support/shared-radio.ts';
import { virtualRadioMissing } from './support/virtual-radio.ts';

async function assertUndisturbed(bench: RadioBench, since: number): Promise<void> {
  assert.ok(bench.longestPauseMs(2, since) < 5000, `the other strap paused for ${Math.round(bench.longestPauseMs(2, since))} ms`);
  await bench.settled();
}

describe('slow faults of a strap: it comes back by itself, and disturbs no other', { skip: virtualRadioMissing() }, () => {
  // Strap 1 has the faults; strap 2 beside it must not notice.
  const shared = sharedRadio({ 1: { name: 'HR1', bpm: 71, period: 0.2 }, 2: { name: 'HR2', bpm: 72, period: 0.2 } });
  test('it stops answering and sending', async (t) => {
    const { radio, bench } = shared;
    const since = performance.now();
    await radio.op('terminate', { id: 1 });
    await radio.op('mute', { id: 1, on: true });
    await eventually(() => (bench.statistics.disconnects['timeout'] ?? 0) >= 1);
    await radio.op('mute', { id: 1, on: false });
    t.diagnostic(`readings again ${Math.round(await bench.flows(1))} ms after it answers again`);
    await assertUndisturbed(bench, since);
  });

  test('it vanishes in the middle of the discovery', async () => {
    const { radio, bench } = shared;
    await radio.op('mute', { id: 1, on: true });
    await radio.op('terminate', { id: 1 });
    await bench.reaches(1, 'connected');
    await radio.op('vanish', { id: 1 });
    const since = performance.now();
    await bench.reaches(1, 'lost');
    await radio.add(1, { name: 'HR1', bpm: 71, period: 0.2 });
    await bench.flows(1);
    await assertUndisturbed(bench, since);
  });

  test('connections to it fail to be established (0x3e)', async (t) => {
    const { radio, bench } = shared;
    const since = performance.now();
    await radio.op('fault', { conn_3e: true });
    await radio.op('terminate', { id: 1 });
    await eventually(() => (bench.statistics.disconnects['not_established'] ?? 0) >= 2);
    await radio.op('fault', {});
    t.diagnostic(`readings again ${Math.round(await bench.flows(1))} ms after the fault is gone`);
    await assertUndisturbed(bench, since);
  });
});
