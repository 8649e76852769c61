import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { intervals, pairs, rates, read, readAll, refusal } from './support/read.ts';

const point = (second: number, rate: string): string =>
  `<Trackpoint><Time>2024-02-01T10:00:${String(second).padStart(2, '0')}Z</Time>${rate}</Trackpoint>`;
const rated = (bpm: number): string => `<HeartRateBpm><Value>${bpm}</Value></HeartRateBpm>`;
const tcx = (points: string): string =>
  '<?xml version="1.0" encoding="UTF-8"?>\n<TrainingCenterDatabase xmlns="http://www.garmin.com/xmlschemas/TrainingCenterDatabase/v2">' +
  `<Activities><Activity Sport="Running"><Id>2024-02-01T10:00:00Z</Id><Lap StartTime="2024-02-01T10:00:00Z">` +
  `<AverageHeartRateBpm><Value>99</Value></AverageHeartRateBpm><Track>${points}</Track></Lap>` +
  '<Creator><Name>Forerunner &amp; friends</Name></Creator></Activity></Activities></TrainingCenterDatabase>\n';

describe('TCX', () => {
  test('points with and without a rate; a lap’s average is no reading', async () => {
    const recording = await read(tcx(point(0, rated(72)) + point(1, '') + point(3, rated(74))));
    assert.deepEqual(pairs(recording), [
      [0, 72],
      [1, null],
      [3, 74],
    ]);
    assert.equal(recording.device, 'Forerunner & friends');
    assert.equal(recording.startedAt, '2024-02-01T10:00:00.000Z');
    assert.equal(recording.format, 'TCX');
  });

  test('prefixes of namespaces, blanks before the declaration, fractions of a second, and zones', async () => {
    const text = tcx(point(0, rated(72)) + point(1, rated(73)))
      .replace(/<(\/?)(\w)/g, '<$1ns5:$2')
      .replace('xmlns=', 'xmlns:ns5=')
      .replace('10:00:01Z', '12:00:01.250+02:00');
    assert.deepEqual(pairs(await read(`\n  ${text}`)), [
      [0, 72],
      [1.25, 73],
    ]);
  });

  test('what precedes a cut is read, with a warning', async () => {
    const whole = tcx(point(0, rated(72)) + point(1, rated(73)) + point(2, rated(74)));
    const end = whole.indexOf('</Track>');
    for (let length = whole.indexOf('</Trackpoint>') + 13; length < end; length += 1) {
      const recording = await read(whole.slice(0, length));
      assert.deepEqual(rates(recording), [72, 73, 74].slice(0, recording.rows.length));
      assert.match(recording.notes.join(), /cut off or not well-formed/);
    }
    assert.match(await refusal(whole.slice(0, 200)), /TCX: 0 points/);
  });
});

describe('GPX', () => {
  test('rates of extensions, whatever their prefix', async () => {
    for (const tag of ['gpxtpx:hr', 'ns3:hr', 'gpxdata:hr', 'hr', 'heartrate']) {
      const text =
        '<gpx creator="Suunto 9" xmlns="http://www.topografix.com/GPX/1/1" xmlns:gpxtpx="a" xmlns:ns3="b" xmlns:gpxdata="c"><metadata>' +
        '<time>2020-01-01T00:00:00Z</time></metadata><trk><trkseg>' +
        [72, 73]
          .map(
            (bpm, index) =>
              `<trkpt lat="1" lon="2"><ele>1</ele><time>2024-02-01T10:00:0${index}Z</time>` +
              `<extensions><x><${tag}>${bpm}</${tag}></x></extensions></trkpt>`,
          )
          .join('') +
        '</trkseg></trk></gpx>';
      const recording = await read(text);
      assert.deepEqual(pairs(recording), [
        [0, 72],
        [1, 73],
      ]);
      assert.equal(recording.device, 'Suunto 9');
    }
  });

  test('a track without heart rates says so', async () => {
    const text = '<gpx><trk><trkseg><trkpt><time>2024-02-01T10:00:00Z</time></trkpt></trkseg></trk></gpx>';
    assert.match(await refusal(text), /GPX: no row has a heart rate \(1 row without one\)/);
  });
});

const stream = (seq: number, bpm: number, more: object = {}): string =>
  `${JSON.stringify({
    timestamp: `2024-02-01T10:00:0${seq}.000Z`,
    heart_rate: bpm,
    device: 'polar-h10-a1b2c3',
    gateway: 'box',
    run: '3f9a1c2e00b7d415',
    seq,
    rr_intervals_ms: [812.5, 798],
    ...more,
  })}\n`;

describe('JSON Lines of the stream', () => {
  test('in any order, with duplicates, accounts and readings of other producers', async () => {
    const recording = await read(
      stream(3, 74) +
        stream(1, 72) +
        stream(2, 73) +
        stream(1, 72) +
        '{"account":{"run":"x"}}\n' +
        stream(4, 75, { account: {} }),
    );
    assert.deepEqual(pairs(recording), [
      [0, 72],
      [1, 73],
      [2, 74],
      [3, 75],
    ]);
    assert.equal(intervals(recording).length, 8);
    assert.match(
      recording.notes.join('; '),
      /1 record that are no readings left out; 1 reading that are there twice counted once/,
    );
    assert.equal(recording.device, 'polar-h10-a1b2c3');
    const plain =
      '{"timestamp":"2024-02-01T10:00:00.000Z","heart_rate":72}\n{"timestamp":"2024-02-01T10:00:01.000Z","heart_rate":73}\n';
    assert.deepEqual(rates(await read(plain)), [72, 73]);
  });

  test('each strap is a recording of its own', async () => {
    const all = await readAll(stream(1, 72) + stream(2, 90, { device: 'b' }) + stream(3, 73), 'day.jsonl');
    assert.deepEqual(
      all.map((recording) => [recording.name, rates(recording)]),
      [
        ['day polar-h10-a1b2c3', [72, 73]],
        ['day b', [90]],
      ],
    );
  });

  test('the answer of GET /devices/:id/readings, as JSON and as CSV', async () => {
    const readings = [72, 73].map((bpm, index) => ({
      timestamp: `2024-02-01T10:00:0${index}.000Z`,
      heart_rate: bpm,
      sensor_contact: true,
    }));
    assert.deepEqual(rates(await read(JSON.stringify(readings))), [72, 73]);
    const csv = readings.map((r) => `${r.timestamp},${r.heart_rate},${String(r.sensor_contact)}\n`).join('');
    assert.deepEqual(pairs(await read(`timestamp,heart_rate,sensor_contact\n${csv}`)), [
      [0, 72],
      [1, 73],
    ]);
  });

  test('a line that is cut off at the end is left out; one that is no JSON elsewhere is refused with its number', async () => {
    const cut = await read(stream(1, 72) + stream(2, 73).slice(0, 40));
    assert.deepEqual(rates(cut), [72]);
    assert.match(cut.notes.join(), /cut off within line 2/);
    assert.match(await refusal(stream(1, 72) + 'oops\n' + stream(2, 73)), /line 2 is not JSON/);
  });
});

describe('Polar HRM', () => {
  const params = (interval: number): string =>
    '[Params]\r\nVersion=106\r\nMonitor=34\r\nSMode=000000000\r\nDate=20240201\r\nStartTime=10:00:00.5\r\nLength=00:00:10.0\r\n' +
    `Interval=${interval}\r\n\r\n`;

  test('a rate per interval, whatever stands in the further columns', async () => {
    const recording = await read(`${params(5)}[Note]\r\nx\r\n\r\n[HRData]\r\n72\t100\t0\r\n73\t101\t0\r\n`);
    assert.deepEqual(pairs(recording), [
      [0, 72],
      [5, 73],
    ]);
    assert.equal(recording.startedAt, '2024-02-01T10:00:00.500Z');
  });

  test('intervals in RR mode', async () => {
    const recording = await read(`${params(238)}[HRData]\r\n812\r\n798\r\n`);
    assert.deepEqual(intervals(recording), [812, 798]);
    assert.deepEqual(rates(recording), [74, 75]);
  });

  test('a sample that is no number is refused; one at the cut end is left out', async () => {
    assert.match(await refusal(`${params(1)}[HRData]\r\n72\r\nx\r\n73\r\n`), /sample 2/);
    assert.deepEqual(rates(await read(`${params(1)}[HRData]\r\n72\r\n7x`)), [72]);
    assert.match(await refusal(`${params(204)}[HRData]\r\n`), /no \[HRData\]/);
  });
});
