import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { caseFile, intervals, pairs, rates, read, readAll, refusal } from './support/read.ts';

describe('the small files of test/data/cases/csv', () => {
  const expected: Record<string, { rows: [number, number | null][]; rr?: number[]; note?: RegExp }> = {
    'own_stream.csv': {
      rows: [
        [0, 72],
        [1, 73],
      ],
    },
    'excel_semicolon.csv': {
      rows: [
        [0, 72],
        [1, 73],
      ],
      rr: [812, 798, 805],
    },
    'excel_unicode.csv': {
      rows: [
        [0, 72],
        [1, 73],
      ],
    },
    'mac_cr.csv': {
      rows: [
        [0, 72],
        [1, 73],
      ],
    },
    'tabs.csv': { rows: [[0, 72]] },
    'pandas_float.csv': {
      rows: [
        [0, 72],
        [1, 73],
      ],
    },
    'pandas_nan.csv': {
      rows: [
        [0, 72],
        [1, null],
        [2, null],
      ],
    },
    'comment_first.csv': { rows: [[0, 72]] },
    'blank_first.csv': { rows: [[0, 72]] },
    'upper.csv': { rows: [[0, 72]] },
    'unsorted.csv': {
      rows: [
        [0, 73],
        [3, 74],
        [5, 72],
      ],
      note: /2 rows out of order \(the clock went back by up to 5 s\)/,
    },
    'negative.csv': {
      rows: [
        [-1, 72],
        [0, 73],
      ],
    },
    'rr_semicolon.csv': { rows: [[0, 72]], rr: [812, 798] },
    'goldencheetah_export.csv': {
      rows: [
        [0, 72],
        [1, 73],
      ],
    },
    'kubios.csv': { rows: [[0, 72]] },
    'polar_flow.csv': {
      rows: [
        [0, 72],
        [1, 73],
      ],
    },
    'polar_sensor_logger.csv': {
      rows: [
        [0, 72],
        [1, 73],
      ],
      rr: [812, 805],
    },
    // 1/1024 s, as the program writes them.
    'jlennox_heartrate.csv': { rows: [[0, 56]], rr: [(1076 * 1000) / 1024, (1088 * 1000) / 1024] },
    'elite_hrv.txt': {
      rows: [
        [0.812, 74],
        [1.61, 75],
        [2.415, 75],
      ],
      rr: [812, 798, 805],
      note: /derived from the RR intervals/,
    },
    'clock_jump.csv': {
      rows: [
        [0, 72],
        [1, 73],
        [68_342_403, 74],
      ],
    },
  };
  for (const [name, { rows, rr = [], note }] of Object.entries(expected))
    test(name, async () => {
      const recording = await read(caseFile(`csv/${name}`));
      assert.deepEqual(pairs(recording), rows);
      assert.deepEqual(intervals(recording), rr);
      if (note === undefined) assert.deepEqual(recording.notes, []);
      else assert.match(recording.notes.join(), note);
    });

  test('polar_flow.csv: the start stands above the table', async () => {
    assert.equal((await read(caseFile('csv/polar_flow.csv'))).startedAt, '2024-02-01T10:00:00.000Z');
  });

  test('hrv4training.csv: one sentence that says that it is no series', async () => {
    assert.match(
      await refusal(caseFile('csv/hrv4training.csv')),
      /rMSSD.* are a list with one line per measurement, lap or day, not a series of heart rates; export the session itself/,
    );
  });
});

describe('what columns are called', () => {
  const T = '2024-02-01T10:00:0';
  const same = async (text: string): Promise<void> => {
    const recording = await read(text);
    assert.deepEqual(rates(recording), [72, 73], text);
    assert.equal((recording.rows[1]?.offsetSeconds ?? 0) - (recording.rows[0]?.offsetSeconds ?? 0), 1, text);
  };

  test('heart rates and times of apps, watches and programs', async () => {
    for (const [time, rate] of [
      ['secs', ' hr'],
      ['time', 'bpm'],
      ['Time (s)', 'Heart Rate (bpm)'],
      ['seconds_elapsed', 'HeartRate'],
      ['Elapsed Time', 'HEART_RATE'],
      ['Zeit', 'Puls'],
      ['offset_seconds', 'Herzfrequenz (bpm)'],
      ['t', 'Fréquence cardiaque'],
      ['"time"', '"heart rate [1/min]"'],
    ])
      await same(`${time},${rate}\n0,72\n1,73\n`);
  });

  test('times as dates, with and without zone, in several orders', async () => {
    for (const cells of [
      [`${T}0Z`, `${T}1Z`],
      [`${T}0+02:00`, `${T}1+02:00`],
      [`${T}0.000`, `${T}1.000`],
      ['2024-02-01 10:00:00', '2024-02-01 10:00:01'],
      ['2024/02/01 10:00:00 UTC', '2024/02/01 10:00:01 UTC'],
      ['01.02.2024 10:00:00', '01.02.2024 10:00:01'],
      ['2/1/2024 9:59:59 PM', '2/1/2024 10:00:00 PM'],
      ['31/12/2023 23:59:59', '01/01/2024 00:00:00'],
      ['12/31/2023 23:59:59', '01/01/2024 00:00:00'],
      ['20240201T100000', '20240201T100001'],
      ['1706781600', '1706781601'],
      ['1706781600000', '1706781601000'],
      ['1706781600000000000', '1706781601000000000'],
      ['00:59:59', '01:00:00'],
      ['59:59', '60:00'],
      ['23:59:59.5', '00:00:00.5'],
      ['10:00:00 AM', '10:00:01 AM'],
    ])
      await same(`timestamp,heart_rate\n${cells[0]},72\n${cells[1]},73\n`);
  });

  test('the start is that of the file, in UTC', async () => {
    const start = async (cell: string): Promise<string | undefined> => (await read(`timestamp,hr\n${cell},72\n`)).startedAt;
    assert.equal(await start('2024-02-01T10:00:00+02:00'), '2024-02-01T08:00:00.000Z');
    assert.equal(await start('1706781600123'), '2024-02-01T10:00:00.123Z');
    assert.equal(await start('12'), undefined);
  });

  test('a date and a time of day in two columns are one time', async () => {
    const recording = await read('Date,Time,HR\n2024-02-01,23:59:59,72\n2024-02-02,00:00:00,73\n');
    assert.deepEqual(pairs(recording), [
      [0, 72],
      [1, 73],
    ]);
    assert.equal(recording.startedAt, '2024-02-01T23:59:59.000Z');
  });

  test('a time of day that falls by less than half a day is a clock that went back', async () => {
    const recording = await read('time,hr\n10:00:05,72\n10:00:01,73\n');
    assert.deepEqual(rates(recording), [73, 72]);
    assert.match(recording.notes.join(), /out of order/);
  });

  test('a column that cannot be read as times gives way to one that can', async () => {
    assert.deepEqual(pairs(await read('timestamp,secs,hr\nlap 1,0,72\nlap 1,1,73\n')), [
      [0, 72],
      [1, 73],
    ]);
  });
});

describe('German Excel and other ways to write numbers', () => {
  test('semicolons with decimal commas, a byte order mark, UTF-16, Windows line ends', async () => {
    const text = 'Zeit (s);Puls;RR (ms)\r\n0,5;72;812,5 798,25\r\n1,5;73,0;805\r\n';
    const utf16 = Buffer.from(`\uFEFF${text}`, 'utf16le');
    const bigEndian = Buffer.from(utf16).swap16();
    const unmarked = Buffer.from(text, 'utf16le');
    for (const bytes of [Buffer.from(text), Buffer.from(`\uFEFF${text}`), utf16, bigEndian, unmarked]) {
      const recording = await read(bytes);
      assert.deepEqual(pairs(recording), [
        [0.5, 72],
        [1.5, 73],
      ]);
      assert.deepEqual(intervals(recording), [812.5, 798.25, 805]);
    }
  });

  test('Windows-1252', async () => {
    assert.deepEqual(rates(await read(Buffer.from('Zeit;Puls;Gerät\n0;72;Gurt für Läufer\n', 'latin1'))), [72]);
  });

  test('no value has many names; decimals are rounded and counted', async () => {
    const cells = ['', 'NaN', 'nan', 'NA', 'null', 'None', '-', '--', '72.6'];
    const recording = await read(`time,hr,x\n${cells.map((cell, index) => `${index},${cell},0\n`).join('')}`);
    assert.deepEqual(rates(recording), [...cells.slice(1).map(() => null), 73]);
    assert.match(recording.notes.join(), /1 heart rate with decimals rounded/);
  });

  test('lists of intervals in a cell: blanks, semicolons, bars, brackets, and commas in quotes', async () => {
    for (const cell of ['812 798', '812;798', '812|798', '"[812, 798]"', '"812,798"', ' 812  798 '])
      assert.deepEqual(intervals(await read(`time,hr,rr_ms\n0,72,${cell}\n`)), [812, 798], cell);
    assert.deepEqual(intervals(await read('time,hr,RR (s)\n0,72,0.812 0.798\n')), [812, 798]);
    assert.deepEqual(intervals(await read('time,hr,RR\n0,72,0.812 0.798\n')), [812, 798]);
    // Some apps write more intervals than columns.
    assert.deepEqual(intervals(await read('time;hr;rr\n0;72;812;798\n1;73\n')), [812, 798]);
  });

  test('intervals without rates, with and without times', async () => {
    const logger = await read('Phone timestamp;RR-interval [ms]\n2026-04-24T14:10:16.752;937\n2026-04-24T14:10:17.700;940\n');
    assert.deepEqual(intervals(logger), [937, 940]);
    assert.deepEqual(pairs(logger), [
      [0, 64],
      [0.948, 64],
    ]);
    const list = await read('RR\n812\n798\n');
    assert.deepEqual(pairs(list), [
      [0.812, 74],
      [1.61, 75],
    ]);
  });

  test('lists and pairs of numbers without names', async () => {
    assert.deepEqual(intervals(await read('0.812\n0.798\n')), [812, 798]);
    assert.deepEqual(intervals(await read('0,812\n0,798\n')), [812, 798]);
    assert.deepEqual(intervals(await read('RR intervals of a night\n812\n798\n805\n')), [812, 798, 805]);
    assert.deepEqual(pairs(await read('0 812\n0.8 798\n')), [
      [0, 74],
      [0.8, 75],
    ]);
    assert.deepEqual(pairs(await read('0\t72\n1\t73\n')), [
      [0, 72],
      [1, 73],
    ]);
    assert.deepEqual(pairs(await read('2024-02-01T10:00:00Z,72\n2024-02-01T10:00:01Z,73\n')), [
      [0, 72],
      [1, 73],
    ]);
    const log = await read('44602.3509318287,56,Contact,,"1024,2048"\n44602.3509434028,57,Contact,,""\n');
    assert.deepEqual(pairs(log), [
      [0, 56],
      [1, 57],
    ]);
    assert.deepEqual(intervals(log), [1000, 2000]);
    assert.equal(log.startedAt, '2022-02-10T08:25:20.510Z');
  });
});

describe('several straps, and what is left out', () => {
  test('a column device makes a recording of each strap', async () => {
    const all = await readAll(
      'timestamp,heart_rate,device\n2024-02-01T10:00:00Z,72,a\n2024-02-01T10:00:00Z,90,b\n2024-02-01T10:00:01Z,73,a\n',
      'day.csv',
    );
    assert.deepEqual(
      all.map((recording) => [recording.name, rates(recording)]),
      [
        ['day a', [72, 73]],
        ['day b', [90]],
      ],
    );
  });

  test('a line that is cut off at the end is left out with a note; the same line elsewhere is refused with its number', async () => {
    const rows = 'timestamp,heart_rate,device\n2024-02-01T10:00:00Z,72,a\n2024-02-01T10:00:01Z,73,a\n';
    for (const rest of ['2024-02-01T1', '2024-02', '2024-02-01T10:00:02Z,7x']) {
      const recording = await read(rows + rest);
      assert.deepEqual(rates(recording), [72, 73], rest);
      assert.match(recording.notes.join(), /cut off within line 4/);
    }
    assert.match(await refusal(`${rows}2024-02-01T10:00:02Z,7x,a\n2024-02-01T10:00:03Z,74,a\n`), /line 4: heart_rate must be/);
    assert.match(await refusal(`${rows}soon,74,a\n`), /line 4: timestamp must be a time \(got “soon”\)/);
  });

  test('a file that is not understood is one line: what it is, and what would work', async () => {
    for (const [content, expected] of [
      ['', /^the file is empty$/],
      ['  \n\n', /no content but blanks/],
      ['Dear diary, today I ran.\n', /text that begins with “Dear diary, today I ran.”.* CSV with times and heart rates.* work/],
      ['%PDF-1.7\n', /a PDF file; FIT, TCX/],
      [Buffer.from([0xd0, 0xcf, 0x11, 0xe0, 0, 0]), /old Excel/],
      [Buffer.from([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]), /binary data, and not a FIT file/],
      ['hr\n72\n', /columns hr have heart rates, but no times; add a column timestamp/],
      [
        'Laps,Time,Distance,Avg HR,Max HR\n1,5:00,1,140,150\n',
        /text that begins with “Laps|one line per measurement, lap or day/,
      ],
      ['72\n73\n74\n', /look like heart rates, without times/],
      ['1\n2\n3\n', /neither RR intervals/],
      ['time,hr\n', /no rows/],
      ['time,hr\n0,\n', /no row has a heart rate/],
      ['<html><body></body></html>', /XML with the root element html, which is not TCX or GPX/],
      ['<HealthData></HealthData>', /export the workout itself/],
      ['{"a":1}\n', /JSON: 1 record, but none with timestamp and heart_rate/],
      ['[Params]\nInterval=1\n', /no \[HRData\]/],
    ] as const)
      assert.match(await refusal(content), expected);
  });
});
