import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { activity, BASE, beatsPart, concatenated, FitWriter, T0 } from './support/fit-writer.ts';
import { caseFile, intervals, pairs, rates, read, refusal, sent } from './support/read.ts';

const seconds = (count: number): [number, number][] => Array.from({ length: count }, (_, index) => [index, 100 + index]);

describe('the small files of test/data/cases/fit', () => {
  for (const name of ['plain', 'be', 'proto0', 'compressed'])
    test(`${name}: 10 readings a second apart, nothing to note`, async () => {
      const recording = await read(caseFile(`fit/${name}.fit`));
      assert.deepEqual(pairs(recording), seconds(10));
      assert.deepEqual(recording.notes, []);
      assert.equal(recording.startedAt, '2021-09-08T01:46:40.000Z');
    });

  test('chained: both files, each with its times', async () => {
    const { rows } = await read(caseFile('fit/chained.fit'));
    assert.equal(rows.length, 15);
    assert.deepEqual(
      rows.slice(9, 12).map(({ offsetSeconds, bpm }) => [offsetSeconds, bpm]),
      [
        [9, 109],
        [100, 100],
        [101, 101],
      ],
    );
  });

  test('trailing_pad: the bytes after the end are named and ignored', async () => {
    const recording = await read(caseFile('fit/trailing_pad.fit'));
    assert.deepEqual(pairs(recording), seconds(10));
    assert.match(recording.notes.join(), /^64 bytes after the end of the FIT file ignored$/);
  });

  test('datasize0: everything that is there, and a warning that the file was not closed', async () => {
    const recording = await read(caseFile('fit/datasize0.fit'));
    assert.deepEqual(pairs(recording), seconds(10));
    assert.match(recording.notes.join(), /not closed by its recorder/);
  });

  test('rr_before_null_row: one reading with both intervals', async () => {
    assert.deepEqual(sent(await read(caseFile('fit/rr_before_null_row.fit'))), [{ bpm: 75, rrMs: [800, 810] }]);
  });
});

describe('headers and ends', () => {
  test('any header size from 12 bytes and any protocol version is read', async () => {
    for (const headerSize of [12, 13, 14, 16, 32, 255])
      for (const protocol of [0, 1, 0x10, 0x20, 0x2f, 0xff]) {
        const recording = await read(activity(3, { headerSize, protocol }).close());
        assert.deepEqual(pairs(recording), seconds(3), `header ${headerSize}, protocol ${protocol}`);
        assert.deepEqual(recording.notes, []);
      }
  });

  test('a file cut at any byte gives the rows before the cut with a warning, or a coded error if there are none', async () => {
    const whole = activity(10).close();
    const expected = seconds(10);
    let partial = 0;
    for (let length = 0; length < whole.length; length += 1) {
      const cut = whole.subarray(0, length);
      let rows: [number, number | null][] = [];
      try {
        const recording = await read(cut);
        assert.ok(recording.notes.length > 0, `a note at ${length} bytes`);
        rows = pairs(recording);
        partial += 1;
      } catch {
        assert.match(await refusal(cut), /empty|binary|FIT|text/);
      }
      assert.deepEqual(rows, expected.slice(0, rows.length), `at ${length} bytes`);
      // A record has six bytes; after the header, the definitions and the file_id come 45.
      if (length >= whole.length - 2) assert.equal(rows.length, 10);
    }
    assert.ok(partial > 55, `${partial} partial results`);
  });

  test('a wrong checksum is refused; a missing or zero one is a warning', async () => {
    const flipped = Buffer.from(activity(10).close());
    flipped[60] = (flipped[60] ?? 0) ^ 0xff;
    assert.match(await refusal(flipped), /wrong checksum/);
    const zero = await read(activity(10).close({ checksum: 0 }));
    assert.equal(zero.rows.length, 10);
    assert.match(zero.notes.join(), /no checksum/);
  });

  test('a file that ends within a message, its size adapted, is read as far as it goes; a changed definition is refused', async () => {
    const whole = activity(200).close();
    const expected = pairs(await read(whole));
    const open = Buffer.from(whole.subarray(0, -2));
    open.writeUInt32LE(open.length - 14 - 2, 4);
    const recording = await read(open);
    assert.deepEqual(pairs(recording), expected);
    assert.match(recording.notes.join(), /ends within a message, without a checksum/);
    const cut = Buffer.from(open.subarray(0, -3));
    cut.writeUInt32LE(cut.length - 14 - 2, 4);
    assert.deepEqual(pairs(await read(cut)), expected.slice(0, 199));
    // Every bit of the definition of records.
    const definition = whole.indexOf(20, 30) - 3;
    for (let at = definition; at < definition + 12; at += 1)
      for (let bit = 0; bit < 8; bit += 1) {
        const damaged = Buffer.from(whole);
        damaged[at] = (damaged[at] ?? 0) ^ (1 << bit);
        assert.match(await refusal(damaged), /checksum/, `byte ${at}, bit ${bit}`);
      }
  });

  test('a wrong size in the header is noticed where the checksum proves the file whole', async () => {
    const right = activity(10).close();
    for (const size of [0, 20, 5000, 0xffffffff]) {
      const recording = await read(activity(10).close({ size }));
      assert.deepEqual(pairs(recording), seconds(10), `size ${size}`);
    }
    assert.equal((await read(right)).notes.length, 0);
  });

  test('a file that its recorder filled up ends where nothing was written', async () => {
    for (const fill of [0, 0xff]) {
      const open = activity(10).close({ size: 0 });
      const recording = await read(concatenated(open.subarray(0, -2), Buffer.alloc(300, fill)));
      assert.deepEqual(pairs(recording), seconds(10), `filled with ${fill}`);
      assert.match(recording.notes.join(), /not closed/);
    }
  });

  test('a second part that is damaged leaves the first one, with a warning', async () => {
    const second = Buffer.from(activity(10, {}, T0 + 100).close());
    second[60] = (second[60] ?? 0) ^ 0xff;
    const recording = await read(concatenated(activity(5).close(), second));
    assert.deepEqual(pairs(recording), seconds(5));
    assert.match(recording.notes.join(), /part 2: .*wrong checksum/);
  });

  test('parts with zeros between them are one recording', async () => {
    const file = concatenated(activity(5).close(), Buffer.alloc(40), activity(5, { bigEndian: true }, T0 + 5).close());
    assert.deepEqual(
      (await read(file)).rows.map(({ offsetSeconds }) => offsetSeconds),
      Array.from({ length: 10 }, (_, index) => index),
    );
  });
});

describe('where heart rates are', () => {
  test('oddities in messages that are not needed change nothing', async () => {
    const odd = new FitWriter()
      .fileId()
      // Unknown message, unknown base type, a size that fits no type, an empty field, a text without end, an undefined field.
      .message(5, 0xff00, [
        { number: 1, base: 0x1e, value: Uint8Array.of(1, 2, 3) },
        { number: 2, base: BASE.uint32, value: Uint8Array.of(1, 2, 3) },
        { number: 3, base: BASE.uint16, value: Uint8Array.of() },
        { number: 4, base: BASE.text, value: Uint8Array.of(65, 66) },
      ])
      .message(6, 21, [])
      .record(T0, 100, [{ number: 39, base: BASE.uint16, value: Uint8Array.of(1, 2, 3) }])
      .record(T0 + 1, 101, [{ number: 99, base: 0x5f, value: 5 }]);
    assert.deepEqual(pairs(await read(odd.close())), seconds(2));
  });

  test('a heart rate of another base type is read as that type, in both byte orders', async () => {
    for (const bigEndian of [false, true])
      for (const base of [BASE.uint16, BASE.uint32, BASE.float32]) {
        const writer = new FitWriter({ bigEndian }).fileId();
        writer.message(1, 20, [
          { number: 253, base: BASE.uint32, value: T0 },
          { number: 3, base, value: 140 },
        ]);
        assert.deepEqual(rates(await read(writer.close())), [140], `base type ${base}`);
      }
  });

  test('compressed timestamps go on over their 32 s, and after other messages with a time', async () => {
    const writer = new FitWriter().fileId().record(T0, 100);
    let at = T0;
    for (const step of [1, 30, 2, 31, 5]) {
      at += step;
      writer.message(3, 20, [{ number: 3, base: BASE.uint8, value: 101 }], { offset: at & 0x1f });
    }
    writer.message(2, 21, [{ number: 253, base: BASE.uint32, value: T0 + 500 }]);
    writer.message(3, 20, [{ number: 3, base: BASE.uint8, value: 102 }], { offset: (T0 + 510) & 0x1f });
    assert.deepEqual(
      (await read(writer.close())).rows.map(({ offsetSeconds }) => offsetSeconds),
      [0, 1, 31, 33, 64, 69, 510],
    );
  });

  test('records without timestamps are refused with that reason', async () => {
    const writer = new FitWriter().fileId();
    for (const bpm of [100, 101, 102]) writer.message(1, 20, [{ number: 3, base: BASE.uint8, value: bpm }]);
    assert.match(await refusal(writer.close()), /3 heart rates, but no record has a timestamp/);
  });

  test('a file that is no activity is refused with that reason', async () => {
    assert.match(await refusal(new FitWriter().fileId().close()), /no records/);
  });

  test('monitoring: times of 16 bits follow the last full one', async () => {
    const writer = new FitWriter().fileId();
    writer.message(1, 103, [{ number: 253, base: BASE.uint32, value: T0 }]);
    for (const [index, bpm] of [60, 61, 62].entries())
      writer.message(2, 55, [
        { number: 26, base: BASE.uint16, value: (T0 + 30_000 * (index + 1)) & 0xffff },
        { number: 27, base: BASE.uint8, value: bpm },
      ]);
    writer.message(3, 55, [{ number: 26, base: BASE.uint16, value: 0 }]);
    const recording = await read(writer.close());
    assert.deepEqual(pairs(recording), [
      [0, 60],
      [30_000, 61],
      [60_000, 62],
    ]);
    assert.equal(recording.startedAt, new Date(631_065_600_000 + (T0 + 30_000) * 1000).toISOString());
  });

  test('a developer field that stands for the heart rate is read where the record has none', async () => {
    const writer = new FitWriter().fileId();
    writer.message(5, 206, [
      { number: 0, base: BASE.uint8, value: 0 },
      { number: 1, base: BASE.uint8, value: 7 },
      { number: 2, base: BASE.uint8, value: BASE.uint16 },
      { number: 14, base: BASE.uint16, value: 20 },
      { number: 15, base: BASE.uint8, value: 3 },
    ]);
    const other = { number: 1, index: 0, bytes: Uint8Array.of(9, 9, 9) };
    for (const [index, native] of [0xff, 120].entries())
      writer.message(
        1,
        20,
        [
          { number: 253, base: BASE.uint32, value: T0 + index },
          { number: 3, base: BASE.uint8, value: native },
        ],
        { developer: [other, { number: 7, index: 0, bytes: Uint8Array.of(130, 0) }] },
      );
    assert.deepEqual(rates(await read(writer.close())), [130, 120]);
  });

  test('a health snapshot: one rate per second', async () => {
    const writer = new FitWriter().fileId();
    writer.message(1, 308, [
      { number: 253, base: BASE.uint32, value: T0 },
      { number: 0, base: BASE.uint16, value: 4 },
      { number: 2, base: BASE.uint8, value: [60, 0xff, 62, 63] },
    ]);
    assert.deepEqual(pairs(await read(writer.close())), [
      [0, 60],
      [2, 62],
      [3, 63],
    ]);
  });

  test('the device is named', async () => {
    assert.equal((await read(activity(2).close())).device, 'Garmin Edge 820');
    assert.equal((await read(new FitWriter().fileId(123, 4).record(T0, 70).close())).device, 'Polar electro (product 4)');
  });
});

describe('RR intervals', () => {
  test('of hrv messages belong to the next record, and those after the last one go with it', async () => {
    const writer = new FitWriter()
      .fileId()
      .record(T0, 100)
      .hrv(600, 610)
      .hrv(620)
      .record(T0 + 1, 0xff);
    writer
      .hrv(630)
      .record(T0 + 2, 98)
      .hrv(640, 650);
    const recording = await read(writer.close());
    assert.deepEqual(intervals(recording), [600, 610, 620, 630, 640, 650]);
    assert.deepEqual(sent(recording), [
      { bpm: 100, rrMs: [] },
      { bpm: 98, rrMs: [600, 610, 620, 630, 640, 650] },
    ]);
  });

  const ticks = [5000, 5900, 6800, 7800, 8700, 9600, 10_500, 11_400, 12_300, 13_200, 14_100];
  const beatRates = ticks.map((_, index) => 60 + index);

  test('beats that a strap stored are rows of their own where the watch has no rates', async () => {
    const watch = new FitWriter()
      .fileId()
      .record(T0, 0xff)
      .record(T0 + 1, 0xff);
    const file = concatenated(watch.close(), beatsPart(T0 + 20, ticks, beatRates).close());
    const recording = await read(file);
    const beats = recording.rows.filter(({ bpm }) => bpm !== null);
    assert.deepEqual(
      beats.map(({ bpm }) => bpm),
      beatRates,
    );
    assert.deepEqual(
      beats.map(({ offsetSeconds }) => offsetSeconds),
      ticks.map((tick) => Math.round((20.5 + (tick - 5000) / 1024) * 1e6) / 1e6),
    );
    assert.deepEqual(
      beats.flatMap(({ rrMs }) => rrMs),
      ticks.slice(1).map((tick, index) => ((tick - (ticks[index] ?? 0)) * 1000) / 1024),
    );
    assert.deepEqual(recording.notes, []);
  });

  test('beats that repeat the rates of the watch give their intervals only', async () => {
    const watch = activity(30);
    const recording = await read(concatenated(watch.close(), beatsPart(T0 + 5, ticks, beatRates).close()));
    assert.equal(recording.rows.length, 30);
    assert.equal(intervals(recording).length, ticks.length - 1);
    assert.match(recording.notes.join(), /11 beats stored by the strap repeat rates of the watch/);
  });

  test('the clock of a strap goes round', async () => {
    const high = ticks.map((tick) => (tick + 0xffffffff - 8000) % 2 ** 32);
    const recording = await read(beatsPart(T0, high, beatRates).close());
    assert.deepEqual(
      recording.rows.map(({ offsetSeconds }) => offsetSeconds),
      ticks.map((tick) => Math.round(((tick - 5000) / 1024) * 1e6) / 1e6),
    );
  });
});
