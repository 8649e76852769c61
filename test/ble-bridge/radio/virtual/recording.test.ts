import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { FitBaseType, FitEncoder } from 'fit-file-parser';
import { readRecording, type RecordedRow } from '../../../../ble-bridge/radio/virtual/recording.ts';
import { HrError } from '../../../../service/errors/errors.ts';
import { tempDir } from '../../../support/temp-dir.ts';

const recordings = fileURLToPath(new URL('../../../data/recordings/', import.meta.url));
const csv = (name: string): string => path.join(recordings, `${name}.csv`);

/** A FIT activity as recorders write it: intervals precede the record that they belong to. */
function fitOf(rows: readonly RecordedRow[]): Uint8Array {
  const encoder = new FitEncoder({ protocolVersion: 0x10 });
  encoder.writeMessage(0, [{ number: 0, size: 1, baseType: FitBaseType.Enum, value: 4 }], 0);
  for (const { offsetSeconds, bpm, rrMs } of rows) {
    for (let at = 0; at < rrMs.length; at += 5) {
      const time = new DataView(new ArrayBuffer(10));
      for (let i = 0; i < 5; i += 1) time.setUint16(2 * i, rrMs[at + i] ?? 0xffff, true);
      encoder.writeMessage(78, [{ number: 0, size: 10, baseType: FitBaseType.Uint16, value: new Uint8Array(time.buffer) }], 1);
    }
    encoder.writeMessage(
      20,
      [
        { number: 253, size: 4, baseType: FitBaseType.Uint32, value: 1_000_000_000 + offsetSeconds },
        { number: 3, size: 1, baseType: FitBaseType.Uint8, value: bpm ?? 0xff },
      ],
      2,
    );
  }
  return encoder.close();
}

async function refusal(file: string): Promise<string> {
  try {
    await readRecording(file);
  } catch (error) {
    assert.ok(error instanceof HrError);
    assert.equal(error.code, 'recording_unreadable');
    return error.detail;
  }
  throw new Error('the file was accepted');
}

describe('CSV recordings', () => {
  test('rows are read unchanged, with and without RR intervals', async () => {
    const intervals = await readRecording(csv('intervals-garmin-vivoactive-hr'));
    assert.equal(intervals.rows.length, 1641);
    assert.equal(Math.max(...intervals.rows.map(({ bpm }) => bpm ?? 0)), 179);
    const ride = await readRecording(csv('short-ride-rr-garmin-edge820'));
    assert.equal(ride.rows.flatMap(({ rrMs }) => rrMs).length, 122);
    assert.equal(ride.name, 'short-ride-rr-garmin-edge820');
  });

  test('an invalid file is refused with the line number', async (t) => {
    const folder = tempDir(t);
    const write = (name: string, text: string): string => {
      writeFileSync(path.join(folder, name), text);
      return path.join(folder, name);
    };
    assert.match(await refusal(write('header.csv', 'time,bpm\n0,80\n')), /line 1 must name/);
    assert.match(await refusal(write('bpm.csv', 'offset_seconds,heart_rate_bpm\n0,80\n1,fast\n')), /line 3: heart_rate_bpm/);
    assert.match(await refusal(write('offset.csv', 'offset_seconds,heart_rate_bpm\nsoon,80\n')), /line 2: offset_seconds/);
    assert.match(await refusal(write('rr.csv', 'offset_seconds,heart_rate_bpm,rr_ms\n0,80,800 x\n')), /line 2: rr_ms/);
    assert.match(await refusal(write('empty.csv', 'offset_seconds,heart_rate_bpm\n0,\n')), /no row has a heart rate/);
    assert.match(await refusal(write('run.gpx', '')), /unknown file type \.gpx/);
    assert.match(await refusal(path.join(folder, 'none.csv')), /ENOENT/);
  });
});

describe('FIT recordings', () => {
  for (const name of [
    'intervals-garmin-vivoactive-hr',
    'short-ride-rr-garmin-edge820',
    'short-run-rr-garmin-fenix5',
    'run-smart-recording-gaps-garmin-fr110',
  ])
    test(`${name} as a FIT file has the rows of its CSV`, async (t) => {
      const expected = await readRecording(csv(name));
      const file = path.join(tempDir(t), `${name}.fit`);
      writeFileSync(file, fitOf(expected.rows));
      assert.deepEqual((await readRecording(file)).rows, expected.rows);
    });

  test('a damaged FIT file is refused with the kind of damage', async (t) => {
    const folder = tempDir(t);
    const good = Buffer.from(fitOf((await readRecording(csv('short-run-rr-garmin-fenix5'))).rows));
    const write = (name: string, bytes: Uint8Array): string => {
      writeFileSync(path.join(folder, name), bytes);
      return path.join(folder, name);
    };
    assert.match(await refusal(write('short.fit', good.subarray(0, good.length - 9))), /truncated/);
    assert.match(await refusal(write('none.fit', Buffer.alloc(0))), /not a FIT file/);
    assert.match(await refusal(write('text.fit', readFileSync(csv('short-run-rr-garmin-fenix5')))), /not a FIT file/);
    const flipped = Buffer.from(good);
    flipped[60] = (flipped[60] ?? 0) ^ 0xff;
    assert.match(await refusal(write('flipped.fit', flipped)), /checksum/);
    assert.match(
      await refusal(
        write(
          'settings.fit',
          new FitEncoder({ protocolVersion: 0x10 })
            .writeMessage(0, [{ number: 0, size: 1, baseType: FitBaseType.Enum, value: 2 }], 0)
            .close(),
        ),
      ),
      /no records/,
    );
  });
});
