import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { clockState } from '../../../service/process/clock-state.ts';
import { GapTracker } from '../../../ble-bridge/straps/gap-tracker.ts';

describe('gaps', () => {
  const t0 = Date.parse('2026-11-23T10:00:00.000Z');

  test('readings a second apart have no gap; a longer pause is reported with its cause when readings resume', () => {
    const gaps = new GapTracker();
    assert.equal(gaps.reading(t0, 0), undefined);
    assert.equal(gaps.reading(t0 + 1000, 1000), undefined);
    gaps.explain('sensor_silent');
    gaps.explain('out_of_range');
    gaps.explain('adapter');
    assert.deepEqual(gaps.reading(t0 + 31_000, 31_000), {
      from: '2026-11-23T10:00:01.000Z',
      to: '2026-11-23T10:00:31.000Z',
      cause: 'out_of_range',
    });
    assert.equal(gaps.reading(t0 + 32_000, 32_000), undefined);
  });

  test('a cause without a gap is dropped at the next reading', () => {
    const gaps = new GapTracker();
    gaps.reading(t0, 0);
    gaps.explain('no_pulse');
    assert.equal(gaps.reading(t0 + 2000, 2000), undefined);
    assert.equal(gaps.reading(t0 + 60_000, 60_000)?.cause, 'sensor_silent');
  });

  test('the last reading of an earlier process begins a gap caused by a restart', () => {
    const gaps = new GapTracker();
    gaps.restore('2026-11-23T09:59:00.000Z');
    gaps.explain('out_of_range');
    assert.deepEqual(gaps.reading(t0, 0), {
      from: '2026-11-23T09:59:00.000Z',
      to: '2026-11-23T10:00:00.000Z',
      cause: 'bridge_restart',
    });
  });

  test('setting the clock neither creates nor hides a gap', () => {
    const gaps = new GapTracker();
    gaps.reading(t0, 0);
    assert.equal(gaps.reading(t0 - 3_600_000, 1000), undefined);
    assert.equal(gaps.reading(t0 + 3_600_000, 2000), undefined);
    assert.deepEqual(gaps.reading(t0, 12_000), {
      from: new Date(t0 - 10_000).toISOString(),
      to: new Date(t0).toISOString(),
      cause: 'sensor_silent',
    });
  });
});

test('a clock is unsynced before the build year or beyond 5 s, synced within, and unknown without a measurement', () => {
  const now = new Date('2026-11-23T10:00:00Z');
  assert.equal(clockState(new Date('1970-01-01T00:03:00Z'), { clock_ahead_ms: 0 }), 'unsynced');
  assert.equal(clockState(now, undefined), 'unknown');
  assert.equal(clockState(now, { clock_ahead_ms: null }), 'unknown');
  assert.equal(clockState(now, { clock_ahead_ms: 4999 }), 'synced');
  assert.equal(clockState(now, { clock_ahead_ms: -5001 }), 'unsynced');
});
