import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '../support/eventually.ts';
import type { RadioBench } from './support/radio-bench.ts';
import { sharedRadio } from './support/shared-radio.ts';
import { virtualRadioMissing } from './support/virtual-radio.ts';

async function assertUndisturbed(bench: RadioBench, since: number): Promise<void> {
  assert.ok(bench.longestPauseMs(2, since) < 5000, `the other strap paused for ${Math.round(bench.longestPauseMs(2, since))} ms`);
  await bench.settled();
}

describe('a faulty strap recovers without help and does not disturb others', { skip: virtualRadioMissing() }, () => {
  // Strap 1 has the faults; strap 2 must not be affected.
  const shared = sharedRadio({ 1: { name: 'HR1', bpm: 71, period: 0.2 }, 2: { name: 'HR2', bpm: 72, period: 0.2 } });
  test('ends the link', async (t) => {
    const { radio, bench } = shared;
    const since = performance.now();
    await radio.op('terminate', { id: 1, reason: 0x13 });
    await eventually(() => (bench.statistics.disconnects['ended_by_strap'] ?? 0) >= 1);
    t.diagnostic(`readings again after ${Math.round(await bench.flows(1))} ms`);
    await assertUndisturbed(bench, since);
  });

  test('goes out of range and returns', async (t) => {
    const { radio, bench } = shared;
    const since = performance.now();
    await radio.op('vanish', { id: 1 });
    await bench.reaches(1, 'lost');
    t.diagnostic(`lost after ${Math.round(performance.now() - since)} ms`);
    assert.ok((bench.statistics.disconnects['out_of_range'] ?? 0) >= 1);
    // Long enough for a gap that is reported.
    await sleep(3000);
    await radio.add(1, { name: 'HR1', bpm: 71, period: 0.2 });
    t.diagnostic(`readings again ${Math.round(await bench.flows(1))} ms after its return`);
    await eventually(() => bench.gaps.some(({ device, gap }) => device === 'hr1-000001' && gap.cause === 'out_of_range'));
    await assertUndisturbed(bench, since);
  });

  test('stops answering and sending', async (t) => {
    const { radio, bench } = shared;
    const since = performance.now();
    await radio.op('terminate', { id: 1 });
    await radio.op('mute', { id: 1, on: true });
    await eventually(() => (bench.statistics.disconnects['timeout'] ?? 0) >= 1);
    await radio.op('mute', { id: 1, on: false });
    t.diagnostic(`readings again ${Math.round(await bench.flows(1))} ms after it answers again`);
    await assertUndisturbed(bench, since);
  });

  test('sends far more than a strap sends', async (t) => {
    const { radio, bench } = shared;
    const since = performance.now();
    const taken = bench.readingsOf(1).length;
    const named = (): string =>
      bench.session.checks().find(({ name, status }) => name === 'straps' && status === 'warn')?.reason ?? '';
    const flood = setInterval(
      () => void Promise.all(Array.from({ length: 10 }, () => radio.raw(1, Buffer.from('0047', 'hex')))),
      20,
    );
    t.after(() => clearInterval(flood));
    await eventually(() => (bench.statistics.disconnects['too_many_packets'] ?? 0) >= 1);
    clearInterval(flood);
    t.diagnostic(`let go after ${Math.round(performance.now() - since)} ms, ${bench.readingsOf(1).length - taken} readings`);
    assert.equal(bench.strap(1)?.link.shown.reason?.code, 'too_many_packets');
    assert.match(named(), /^hr1-000001: it sent \d+ packets of \d+ bytes within/);
    bench.strap(1)?.link.retryNow();
    await bench.flows(1);
    await assertUndisturbed(bench, since);
  });

  test('goes out of range during discovery', async () => {
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

  test('fails to establish connections (0x3e)', async (t) => {
    const { radio, bench } = shared;
    const since = performance.now();
    await radio.op('fault', { conn_3e: true });
    await radio.op('terminate', { id: 1 });
    await eventually(() => (bench.statistics.disconnects['not_established'] ?? 0) >= 2);
    await radio.op('fault', {});
    t.diagnostic(`readings again ${Math.round(await bench.flows(1))} ms after the fault is gone`);
    await assertUndisturbed(bench, since);
  });

  test('sends malformed notifications: they are counted, and the next valid one is a reading', async () => {
    const { radio, bench } = shared;
    const reconnects = bench.strap(1)?.status().reconnects;
    for (const hex of ['', '1748', 'ff', '00']) await radio.op('raw', { id: 1, hex });
    await eventually(() => bench.statistics.metrics.malformed.read().values.reduce((sum, { value }) => sum + value, 0) >= 4);
    await bench.flows(1);
    assert.ok(bench.readingsOf(1).every(({ heart_rate }) => heart_rate === 71));
    assert.equal(bench.strap(1)?.status().reconnects, reconnects);
    await bench.settled();
  });

  test('sends heart rate 0: no_pulse, no reading, and the link stays open', async () => {
    const { radio, bench } = shared;
    await radio.add(3, { name: 'HR3', bpm: 60, period: 0, contact: true });
    await bench.listening(3);
    await radio.op('hr', { id: 3, bpm: 0, contact: true });
    await bench.reaches(3, 'no_pulse');
    await radio.op('hr', { id: 3, bpm: 66, contact: false });
    await bench.reaches(3, 'no_contact');
    await radio.op('hr', { id: 3, bpm: 67, contact: true });
    await bench.reaches(3, 'streaming');
    assert.deepEqual(
      bench.readingsOf(3).map(({ heart_rate, sensor_contact }) => [heart_rate, sensor_contact]),
      [
        [66, false],
        [67, true],
      ],
    );
    assert.equal(bench.strap(3)?.status().reconnects, 0);
  });
});
