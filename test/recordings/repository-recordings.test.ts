import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { readRecordings } from '../../recordings/read-recordings.ts';
import type { Recording } from '../../recordings/recording.ts';
import { HrError } from '../../service/errors/errors.ts';
import { tempDir } from '../support/temp-dir.ts';
import { FitWriter, T0 } from './support/fit-writer.ts';
import { recordingFile, refusal } from './support/read.ts';

async function recordingOf(file: string): Promise<Recording> {
  const [recording, second] = await readRecordings(file);
  assert.ok(recording !== undefined && second === undefined, 'one recording');
  return recording;
}
const csv = (name: string): string => recordingFile(`${name}.csv`);

/** A FIT activity as recorders write it: intervals precede the record that they belong to. */
function fitOf({ rows }: Recording, bigEndian: boolean): Uint8Array {
  const writer = new FitWriter({ bigEndian }).fileId();
  for (const { offsetSeconds, bpm, rrMs } of rows) {
    for (let at = 0; at < rrMs.length; at += 5) writer.hrv(...rrMs.slice(at, at + 5));
    writer.record(T0 + offsetSeconds, bpm ?? 0xff);
  }
  return writer.close();
}

describe('the recordings of this repository', () => {
  test('rows are read unchanged, with and without RR intervals', async () => {
    const interval = await recordingOf(csv('intervals-garmin-vivoactive-hr'));
    assert.equal(interval.rows.length, 1641);
    assert.equal(Math.max(...interval.rows.map(({ bpm }) => bpm ?? 0)), 179);
    const ride = await recordingOf(csv('short-ride-rr-garmin-edge820'));
    assert.equal(ride.rows.flatMap(({ rrMs }) => rrMs).length, 122);
    assert.equal(ride.name, 'short-ride-rr-garmin-edge820');
  });

  test('each line of each file is a row', async () => {
    for (const name of [
      'ride-dropouts-coros-pace2',
      'swim-beats-garmin-fr735xt-hrm',
      'exercise-rr-polar-hrm',
      'rest-rr-hrv-sample',
      'rest-rr-ectopics-polar-h10',
    ]) {
      const lines = readFileSync(csv(name), 'utf8').trim().split('\n').slice(1);
      const { rows, notes } = await recordingOf(csv(name));
      assert.deepEqual(notes, []);
      assert.deepEqual(
        rows.map(
          ({ offsetSeconds, bpm, rrMs }) => `${offsetSeconds},${bpm ?? ''}${rrMs.length === 0 ? '' : `,${rrMs.join(' ')}`}`,
        ),
        lines.map((line) => line.replace(/(,[^,]*),$/, '$1')),
        name,
      );
    }
  });

  for (const name of [
    'intervals-garmin-vivoactive-hr',
    'short-ride-rr-garmin-edge820',
    'short-run-rr-garmin-fenix5',
    'run-smart-recording-gaps-garmin-fr110',
  ])
    test(`${name} as a FIT file has the rows of its CSV`, async (t) => {
      const expected = await recordingOf(csv(name));
      for (const bigEndian of [false, true]) {
        const file = path.join(tempDir(t), `${name}.fit`);
        writeFileSync(file, fitOf(expected, bigEndian));
        assert.deepEqual((await recordingOf(file)).rows, expected.rows);
      }
    });
});

describe('files by name', () => {
  test('an invalid file of ours is refused with the line number', async () => {
    assert.match(await refusal('offset_seconds,heart_rate_bpm\n0,80\n1,fast\n'), /line 3: heart_rate_bpm/);
    assert.match(await refusal('offset_seconds,heart_rate_bpm\nsoon,80\n'), /line 2: offset_seconds/);
    assert.match(await refusal('offset_seconds,heart_rate_bpm,rr_ms\n0,80,800 x\n'), /line 2: rr_ms/);
    assert.match(await refusal('offset_seconds,heart_rate_bpm,rr_ms\n0,80,800 64000\n'), /line 2: rr_ms/);
    assert.match(await refusal('offset_seconds,heart_rate_bpm\n0,70000\n'), /line 2: heart_rate_bpm/);
    assert.match(await refusal('offset_seconds,heart_rate_bpm\n0,\n'), /no row has a heart rate/);
  });

  test('the content decides, not the ending; the name is the file’s without endings', async (t) => {
    const file = path.join(tempDir(t), 'ride of today.fit.csv');
    writeFileSync(file, readFileSync(csv('short-run-rr-garmin-fenix5')));
    const recording = await recordingOf(file);
    assert.equal(recording.rows.length, 21);
    assert.equal(recording.name, 'ride of today');
    assert.equal(recording.format, 'CSV');
  });

  test('a missing file, a folder and a file that is too large are coded errors', async (t) => {
    const folder = tempDir(t);
    for (const [file, detail] of [
      [path.join(folder, 'none.csv'), /ENOENT/],
      [folder, /EISDIR/],
    ] as const)
      await assert.rejects(readRecordings(file), (error) => {
        assert.ok(error instanceof HrError, String(error));
        assert.equal(error.code, 'recording_unreadable');
        assert.match(error.detail, detail);
        return true;
      });
  });
});
