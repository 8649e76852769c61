import assert from 'node:assert/strict';
import { test } from 'node:test';
import { attachmentOf, csvOf } from '../../admin-api/readings-file.ts';
import { recordingsOf } from '../../recordings/read-recordings.ts';

test('our own replay gets the same heart rates, times and RR intervals back from the file', async () => {
  const at = (second: number): string => new Date(Date.UTC(2026, 10, 30, 9, 0, second, 250)).toISOString();
  const readings = [
    { timestamp: at(0), heart_rate: 61, sensor_contact: true, rr_intervals_ms: [983.4, 975.6] },
    { timestamp: at(1), heart_rate: 62, sensor_contact: null, rr_intervals_ms: [] },
    { timestamp: at(3), heart_rate: 250, sensor_contact: false, rr_intervals_ms: [240.2] },
  ];
  const [recording, ...others] = await recordingsOf(Buffer.from(csvOf(readings)), 'anna.csv');
  assert.equal(others.length, 0);
  assert.deepEqual(
    recording?.rows,
    readings.map(({ timestamp, heart_rate, rr_intervals_ms }) => ({
      offsetSeconds: (Date.parse(timestamp) - Date.parse(at(0))) / 1000,
      bpm: heart_rate,
      rrMs: rr_intervals_ms,
    })),
  );
});

test('the file is named after the strap and its first reading; no device name can end the header or the name', () => {
  assert.equal(
    attachmentOf('polar-h10-a1b2c3', '2026-11-30T09:00:00.250Z'),
    `attachment; filename="polar-h10-a1b2c3_2026-11-30T09-00-00Z.csv"; filename*=UTF-8''polar-h10-a1b2c3_2026-11-30T09-00-00Z.csv`,
  );
  assert.equal(
    attachmentOf(`Rad "1"; x='ü`, undefined),
    `attachment; filename="Rad__1___x___.csv"; filename*=UTF-8''Rad%20%221%22%3B%20x%3D%27%C3%BC.csv`,
  );
});
