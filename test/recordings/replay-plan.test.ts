import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { RecordedRow, Recording } from '../../recordings/recording.ts';
import { replayFiles } from '../../recordings/replay-files.ts';
import { accountLine, planReplay } from '../../recordings/replay-plan.ts';
import { durationText, summaryLines } from '../../recordings/summary.ts';

const of = (rows: RecordedRow[]): Recording => ({
  name: 'a',
  format: 'CSV',
  device: undefined,
  startedAt: undefined,
  rows,
  notes: [],
});
const row = (offsetSeconds: number, bpm: number | null, ...rrMs: number[]): RecordedRow => ({ offsetSeconds, bpm, rrMs });

describe('the plan of a replay', () => {
  test('intervals of rows without a reading go with the next one, those after the last with that one', () => {
    const plan = planReplay(
      of([row(0, null, 500), row(1, 70, 1000), row(2, 0, 250), row(3, null, 125), row(4, 71, 750), row(5, null, 625)]),
      {
        maxPauseMs: 0,
      },
    );
    assert.deepEqual(
      plan.notifications.map(({ atMs, bpm, rr1024 }) => [atMs, bpm, rr1024]),
      [
        [0, 70, [512, 1024]],
        [1000, 0, []],
        [3000, 71, [256, 128, 768, 640]],
      ],
    );
    assert.equal(
      accountLine(plan),
      '6 rows: 2 readings, 1 with a 0 (no pulse), 3 without a rate, 6 of 6 RR intervals, ' +
        '4 of them from rows without a reading, sent with the next',
    );
  });

  test('every row and every interval is accounted for, none is invented, and their order is kept', () => {
    const rows = fc.array(
      fc.record({
        offsetSeconds: fc.double({ min: -1e6, max: 1e9, noNaN: true }),
        bpm: fc.option(fc.integer({ min: 0, max: 300 }), { nil: null }),
        rrMs: fc.array(fc.integer({ min: 0, max: 65_535 }), { maxLength: 30 }),
      }),
      { maxLength: 60 },
    );
    fc.assert(
      fc.property(rows, fc.constantFrom(0, 1000, 60_000), (unordered, maxPauseMs) => {
        const ordered = unordered.toSorted((a, b) => a.offsetSeconds - b.offsetSeconds);
        const { notifications, account, pauses, durationMs, replayedMs } = planReplay(of(ordered), { maxPauseMs });
        assert.equal(account.rows, account.readings + account.noPulse + account.withoutRate);
        assert.equal(notifications.length, account.readings + account.noPulse);
        assert.deepEqual(
          notifications.map(({ bpm }) => bpm),
          ordered.flatMap(({ bpm }) => (bpm === null ? [] : [bpm])),
        );
        const possible = ordered.flatMap(({ rrMs }) => rrMs.map((ms) => Math.round(ms * 1.024))).filter((rr) => rr <= 65_535);
        const sent = notifications.flatMap(({ rr1024 }) => rr1024);
        assert.equal(account.intervals, sent.length + account.intervalsTooLong + account.intervalsLeft);
        assert.deepEqual(sent, possible.slice(0, sent.length));
        if (account.readings > 0) assert.equal(account.intervalsLeft, 0);
        for (const [index, { atMs }] of notifications.entries())
          assert.ok(atMs >= (notifications[index - 1]?.atMs ?? 0), `${index}: ${atMs}`);
        assert.ok(
          replayedMs <= durationMs + 1e-6 && (maxPauseMs > 0 || replayedMs === durationMs),
          `${replayedMs} of ${durationMs}`,
        );
        if (maxPauseMs > 0)
          assert.ok(
            pauses.every((pause) => pause.replayedMs <= maxPauseMs),
            'a pause is too long',
          );
      }),
      { numRuns: 500 },
    );
  });

  test('a night of intervals without a rate comes with the next readings, at most 1,000 each', () => {
    const night = Array.from({ length: 2500 }, (_, index) => row(index, null, 800 + (index % 100)));
    const { notifications, account } = planReplay(of([...night, row(2500, 60), row(2501, 61), row(2502, 62), row(2503, 63)]), {
      maxPauseMs: 0,
    });
    assert.deepEqual(
      notifications.map(({ rr1024 }) => rr1024.length),
      [1000, 1000, 500, 0],
    );
    assert.equal(account.intervalsLeft, 0);
  });

  test('pauses are kept, or shortened to the longest that is wanted, and the rest of the times stays', () => {
    const rows = [row(0, 70), row(1, 71), row(68_342_403, 72), row(68_342_404, 73)];
    const kept = planReplay(of(rows), { maxPauseMs: 0 });
    assert.deepEqual(
      kept.notifications.map(({ atMs }) => atMs),
      [0, 1000, 68_342_403_000, 68_342_404_000],
    );
    assert.deepEqual(kept.pauses, [{ before: 2, afterMs: 1000, durationMs: 68_342_402_000, replayedMs: 68_342_402_000 }]);
    const shortened = planReplay(of(rows), { maxPauseMs: 5000 });
    assert.deepEqual(
      shortened.notifications.map(({ atMs }) => atMs),
      [0, 1000, 6000, 7000],
    );
    assert.match([...summaryLines(of(rows), kept, 0)].join('\n'), /791 d after 1 s\n.*\n.*--max-pause shortens them/);
  });
});

test('durations are written in their two largest units', () => {
  for (const [ms, text] of [
    [0, '0 s'],
    [960, '1 s'],
    [1250, '1.3 s'],
    [65_000, '1 min 5 s'],
    [3_600_000, '1 h'],
    [3_661_000, '1 h 1 min'],
    [68_342_402_000, '791 d'],
    [90_061_000, '1 d 1 h'],
  ] as const)
    assert.equal(durationText(ms), text);
});

test('REPLAY_FILE names one file, or several; a comma in a name stays', () => {
  const files = new Set(['a.csv', 'b, c.fit', 'd.csv', 'a.csv,d.csv.gz']);
  const exists = (file: string): boolean => files.has(file);
  assert.deepEqual(replayFiles('a.csv', exists), ['a.csv']);
  assert.deepEqual(replayFiles('a.csv, d.csv', exists), ['a.csv', 'd.csv']);
  assert.deepEqual(replayFiles('a.csv,b, c.fit,d.csv', exists), ['a.csv', 'b, c.fit', 'd.csv']);
  assert.deepEqual(replayFiles('a.csv,d.csv.gz', exists), ['a.csv,d.csv.gz']);
  assert.deepEqual(replayFiles('a.csv,none.csv', exists), ['a.csv', 'none.csv']);
});
