import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parseHeartRateMeasurement, type HeartRateMeasurement } from '../../../../ble-bridge/gatt/hrm-parser.ts';
import { ReplaySource, type ReplayOptions } from '../../../../ble-bridge/radio/virtual/replay-source.ts';
import { SimulatedSource } from '../../../../ble-bridge/radio/virtual/simulated-source.ts';
import { readRecordings } from '../../../../recordings/read-recordings.ts';
import type { RecordedRow, Recording } from '../../../../recordings/recording.ts';
import { eventually } from '../../../support/eventually.ts';
import { startSoftSession } from '../../support/soft-session.ts';

const recording = (name: string): string => fileURLToPath(new URL(`../../../data/recordings/${name}.csv`, import.meta.url));

/** Reproducible pseudo-random numbers (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** The measurements of each simulated strap over `seconds`, without waiting. */
function simulate(seconds: number): HeartRateMeasurement[][] {
  const source = new SimulatedSource({ straps: 3, random: seeded(7) });
  const sent: HeartRateMeasurement[][] = source.straps.map(() => []);
  const listen = (index: number): void => {
    const strap = source.straps[index];
    if (strap === undefined || strap.connected || !strap.present) return;
    strap.link(() => {});
    const measurement = strap.heartRateCharacteristics().find(({ uuid }) => uuid === '2a37');
    void measurement?.subscribe((bytes) => {
      const parsed = parseHeartRateMeasurement(bytes);
      assert.ok(parsed.ok);
      sent[index]?.push(parsed.measurement);
    });
  };
  for (let second = 0; second < seconds; second += 1) {
    source.straps.forEach((_, index) => listen(index));
    source.second();
  }
  return sent;
}

describe('simulated straps', () => {
  const seconds = 1200;
  const [rest = [], intervals = [], dropouts = []] = simulate(seconds);

  test('one rests with a slow drift, one does intervals, one drops out and returns', () => {
    const rates = (list: HeartRateMeasurement[]): number[] => list.map(({ bpm }) => bpm);
    assert.ok(
      rates(rest).every((bpm) => bpm >= 48 && bpm <= 78),
      `rest ${Math.min(...rates(rest))}-${Math.max(...rates(rest))}`,
    );
    assert.ok(Math.max(...rates(rest)) - Math.min(...rates(rest)) >= 4);
    assert.ok(Math.min(...rates(intervals)) < 125 && Math.max(...rates(intervals)) > 158);
    assert.ok(rest.length >= seconds - 3);
    assert.ok(dropouts.length > 0.7 * seconds && dropouts.length < 0.85 * seconds);
  });

  test('heart rates do not jump', () => {
    for (const list of [rest, intervals])
      for (const [index, { bpm }] of list.entries())
        assert.ok(Math.abs(bpm - (list[index - 1]?.bpm ?? bpm)) <= 12, `${list[index - 1]?.bpm} → ${bpm}`);
  });

  test('RR intervals fill the time and agree with the heart rate', () => {
    for (const list of [rest, intervals]) {
      const total = list.flatMap(({ rr1024 }) => rr1024).reduce((sum, rr) => sum + rr / 1024, 0);
      assert.ok(Math.abs(total - list.length) < 3, `${total} s of beats in ${list.length} s`);
      for (let from = 0; from + 60 <= list.length; from += 60) {
        const minute = list.slice(from, from + 60);
        const intervalsOf = minute.flatMap(({ rr1024 }) => rr1024);
        const byRr = (60 * 1024 * intervalsOf.length) / intervalsOf.reduce((sum, rr) => sum + rr, 0);
        const byRate = minute.reduce((sum, { bpm }) => sum + bpm, 0) / minute.length;
        assert.ok(Math.abs(byRr - byRate) < 3, `RR gives ${byRr}, the rate ${byRate}`);
      }
    }
  });

  test('run through the same links as real ones, with status, battery, information and marked readings', async (t) => {
    const { session, readings } = await startSoftSession(t, new SimulatedSource({ straps: 4 }));
    await eventually(() => new Set(readings.map(({ device }) => device)).size === 4);
    assert.ok(readings.every(({ source }) => source === 'simulated'));
    const statuses = session.straps.all.map((strap) => strap.status());
    assert.ok(
      statuses.every(
        ({ state, battery_percent, model }) =>
          state === 'streaming' && battery_percent !== null && model?.startsWith('simulated'),
      ),
    );
  });
});

const replayOf = (recordings: Recording[], options: Partial<ReplayOptions> = {}): ReplaySource =>
  new ReplaySource({ recordings, speed: 0, loop: false, maxPauseMs: 0, canTake: () => true, ...options });
const recordingOf = (name: string, rows: RecordedRow[]): Recording => ({
  name,
  format: 'CSV',
  device: undefined,
  startedAt: undefined,
  rows,
  notes: [],
});
const rowsAt = (...offsets: number[]): RecordedRow[] =>
  offsets.map((offsetSeconds, index) => ({ offsetSeconds, bpm: 60 + index, rrMs: [] }));

describe('replay', () => {
  test('at speed 0 every row with a heart rate becomes a reading, in order, with its RR intervals', async (t) => {
    const [workout = recordingOf('', [])] = await readRecordings(recording('short-ride-rr-garmin-edge820'));
    const source = replayOf([workout]);
    const { readings } = await startSoftSession(t, source);
    await eventually(() => source.progress[0]?.ended);
    assert.deepEqual(
      readings.map(({ heart_rate }) => heart_rate),
      workout.rows.map(({ bpm }) => bpm),
    );
    for (const [index, { rr_intervals_ms }] of readings.entries())
      for (const [at, ms] of rr_intervals_ms.entries()) assert.ok(Math.abs(ms - (workout.rows[index]?.rrMs[at] ?? -1)) <= 0.5);
    assert.ok(readings.every(({ source: mark, device }) => mark === 'replay' && device.startsWith('replay-short-ride')));
  });

  test('intervals of rows without a rate arrive with the next reading', async (t) => {
    const rows: RecordedRow[] = [
      { offsetSeconds: 0, bpm: null, rrMs: [500, 1000] },
      { offsetSeconds: 1, bpm: 75, rrMs: [750] },
      { offsetSeconds: 2, bpm: null, rrMs: [250] },
    ];
    const source = replayOf([recordingOf('carried', rows)]);
    const { readings } = await startSoftSession(t, source);
    await eventually(() => source.progress[0]?.ended);
    assert.deepEqual(
      readings.map(({ heart_rate, rr_intervals_ms }) => [heart_rate, rr_intervals_ms]),
      [[75, [500, 1000, 750, 250]]],
    );
  });

  test('at speed 0 pauses while readings wait to be stored', async (t) => {
    const workout = await readRecordings(recording('intervals-garmin-vivoactive-hr'));
    const gate = { left: 100 };
    const source = replayOf(workout, { canTake: () => (gate.left -= 1) >= 0 });
    const { readings } = await startSoftSession(t, source);
    await eventually(() => gate.left < -20);
    assert.equal(readings.length, 100);
    gate.left = 1e9;
    await eventually(() => readings.length === 1641);
  });

  test('at a speed keeps the times of the recording, and a loop starts again', async (t) => {
    const source = replayOf([recordingOf('five', rowsAt(100, 110, 120, 130, 140))], { speed: 100, loop: true });
    const { readings } = await startSoftSession(t, source);
    await eventually(() => readings.length >= 10);
    assert.deepEqual(
      readings.slice(0, 10).map(({ heart_rate }) => heart_rate),
      [60, 61, 62, 63, 64, 60, 61, 62, 63, 64],
    );
    const span = Date.parse(readings[4]?.timestamp ?? '') - Date.parse(readings[0]?.timestamp ?? '');
    assert.ok(span >= 350, `40 s at 100× took ${span} ms`);
  });

  test('a pause of two years is kept without a spinning timer, and announced once', async (t) => {
    const warnings: string[] = [];
    const onWarning = ({ name }: Error): number => warnings.push(name);
    process.on('warning', onWarning);
    t.after(() => process.off('warning', onWarning));
    const pauses: [string, number, number][] = [];
    const source = replayOf([recordingOf('jump', rowsAt(0, 0.1, 68_342_403))], {
      speed: 1,
      listener: { pause: (...pause) => pauses.push(pause) },
    });
    const { readings } = await startSoftSession(t, source);
    await eventually(() => readings.length === 2);
    const before = process.cpuUsage();
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const { user, system } = process.cpuUsage(before);
    assert.equal(readings.length, 2);
    assert.ok(user + system < 300_000, `${(user + system) / 1000} ms of CPU time in a second of pause`);
    assert.deepEqual(warnings, []);
    assert.equal(pauses.length, 1);
    const [name, waitMs = 0, recordedMs] = pauses[0] ?? [];
    assert.equal(name, 'jump');
    assert.equal(recordedMs, 68_342_402_900);
    assert.ok(Math.abs(waitMs - 68_342_402_900) < 5000, `${waitMs}`);
  });

  test('a pause in which the link gives the strap up loses nothing', async (t) => {
    const source = replayOf([recordingOf('silent', rowsAt(0, 0.1, 6, 6.1))], { speed: 1 });
    const { readings, statuses } = await startSoftSession(t, source, { environment: { BLE_SILENCE_MS: '1000' } });
    await eventually(() => readings.length === 4);
    assert.deepEqual(
      readings.map(({ heart_rate }) => heart_rate),
      [60, 61, 62, 63],
    );
    assert.ok(
      statuses.some(({ state }) => state === 'silent'),
      'the strap was never silent',
    );
    const span = Date.parse(readings[2]?.timestamp ?? '') - Date.parse(readings[0]?.timestamp ?? '');
    assert.ok(span >= 5900, `6 s took ${span} ms`);
  });

  test('REPLAY_MAX_PAUSE shortens it', async (t) => {
    const source = replayOf([recordingOf('jump', rowsAt(0, 1, 68_342_403))], { speed: 10, maxPauseMs: 2000 });
    const { readings } = await startSoftSession(t, source);
    await eventually(() => source.progress[0]?.ended);
    assert.equal(readings.length, 3);
  });

  test('a speed so slow that no timer can wait for it does not spin', async (t) => {
    const source = replayOf([recordingOf('slow', rowsAt(0, 10))], { speed: 1e-9, loop: true });
    const { readings } = await startSoftSession(t, source);
    await eventually(() => readings.length === 1);
    const before = process.cpuUsage();
    await new Promise((resolve) => setTimeout(resolve, 500));
    assert.ok(process.cpuUsage(before).user < 200_000, 'it spins');
  });

  test('several recordings are several straps, also those of one name', async (t) => {
    const source = replayOf([
      recordingOf('ride', rowsAt(0, 1)),
      recordingOf('ride', rowsAt(0, 1, 2)),
      recordingOf('run', rowsAt(0)),
    ]);
    const { readings } = await startSoftSession(t, source);
    await eventually(() => source.progress.every(({ ended }) => ended));
    const counts = new Map<string, number>();
    for (const { device } of readings)
      counts.set(device.replace(/-[0-9a-f]{6}$/, ''), (counts.get(device.replace(/-[0-9a-f]{6}$/, '')) ?? 0) + 1);
    assert.deepEqual(Object.fromEntries(counts), { 'replay-ride': 2, 'replay-ride-2': 3, 'replay-run': 1 });
  });
});
