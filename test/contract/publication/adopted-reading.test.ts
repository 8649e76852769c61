/** The rules of a payload on hr/<device>/bpm: a table of what programs send, and properties that hold for any bytes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { readPayload, type PayloadOutcome } from '../../../contract/publication/adopted-reading.ts';
import { heartRateOf } from '../../../contract/publication/heart-rate.ts';
import { readJsonText } from '../../../contract/publication/json-text.ts';
import { refusalOf } from '../../../contract/publication/refusal.ts';
import { timestampOf } from '../../../contract/publication/timestamp.ts';
import { readingDeviceOf } from '../../../contract/topics.ts';

const CONTEXT = {
  device: 'Bike1',
  publisher: 'app',
  arrivedAt: new Date('2026-11-30T08:00:00.500Z'),
  clock: 'synced',
} as const;
const read = (payload: string | Buffer): PayloadOutcome => readPayload(Buffer.from(payload), CONTEXT);
const at = (timestamp: string): string => JSON.stringify({ timestamp, heart_rate: 72 });

const ADOPTED: readonly [string, object][] = [
  ['{"timestamp":"2026-11-30T08:00:00Z","heart_rate":72}', { timestamp: '2026-11-30T08:00:00.000Z', heart_rate: 72 }],
  [
    ' {\n "heart_rate": 72.0,\n "timestamp": "2026-11-30T09:30:00.123+01:30" }\n',
    { timestamp: '2026-11-30T08:00:00.123Z', heart_rate: 72 },
  ],
  [at('2026-11-30 08:00:00.1-00:00'), { timestamp: '2026-11-30T08:00:00.100Z', heart_rate: 72 }],
  [at('2026-01-01t00:30:00+01:00'), { timestamp: '2025-12-31T23:30:00.000Z', heart_rate: 72 }],
  [at('2024-02-29T00:00:00Z'), { timestamp: '2024-02-29T00:00:00.000Z', heart_rate: 72 }],
  [at('2026-11-30T08:00:00.123000Z'), { timestamp: '2026-11-30T08:00:00.123Z', heart_rate: 72 }],
];
const ADOPTED_WITH_ORIGINAL: readonly [string, object][] = [
  ['72', { timestamp: '2026-11-30T08:00:00.500Z', heart_rate: 72, clock: 'synced' }],
  ['72\n', { timestamp: '2026-11-30T08:00:00.500Z', heart_rate: 72, clock: 'synced' }],
  ['{"heart_rate":7.2e1}', { timestamp: '2026-11-30T08:00:00.500Z', heart_rate: 72, clock: 'synced' }],
  [at('2026-11-30T08:00:00.123456Z'), { timestamp: '2026-11-30T08:00:00.123Z', heart_rate: 72 }],
  [
    '{"timestamp":"2026-11-30T08:00:00Z","heart_rate":65535,"source":"simulated","device":"x","gateway":"y",' +
      '"run":"0123456789abcdef","seq":9,"publisher":"root","account":{},"original":"z"}',
    { timestamp: '2026-11-30T08:00:00.000Z', heart_rate: 65535, source: 'simulated' },
  ],
  [
    '{"timestamp":"2026-11-30T08:00:00Z","heart_rate":72,"source":"replay"}',
    { timestamp: '2026-11-30T08:00:00.000Z', heart_rate: 72, source: 'replay' },
  ],
  [
    '{"timestamp":"2026-11-30T08:00:00Z","heart_rate":72,"source":"watch","__proto__":{"heart_rate":1}}',
    { timestamp: '2026-11-30T08:00:00.000Z', heart_rate: 72 },
  ],
];

test('a payload of exactly a timestamp and a heart rate becomes a reading without its original text', () => {
  for (const [payload, fields] of ADOPTED) {
    const outcome = read(payload);
    assert.deepEqual(
      outcome,
      { kind: 'reading', timed: true, reading: { ...fields, device: 'Bike1', publisher: 'app' } },
      payload,
    );
  }
});

test('any other payload keeps its text in original, and none of its other fields at the top level', () => {
  for (const [payload, fields] of ADOPTED_WITH_ORIGINAL) {
    const outcome = read(payload);
    assert.deepEqual(outcome.kind === 'reading' ? outcome.reading : outcome, {
      ...fields,
      device: 'Bike1',
      publisher: 'app',
      original: payload,
    });
  }
});

test('heart rate 0 and an empty payload are neither readings nor refusals', () => {
  for (const payload of ['0', '-0', '0.0e5', '{"heart_rate":0}', at('2026-11-30T08:00:00Z').replace('72', '0')])
    assert.deepEqual(read(payload), { kind: 'no_pulse' }, payload);
  assert.deepEqual(read(''), { kind: 'empty' });
});

const REFUSED: readonly [string, readonly (string | Buffer)[]][] = [
  [
    'payload_not_json',
    [
      '72 bpm',
      '{"heart_rate":72',
      '072',
      '+72',
      "{'heart_rate':72}",
      '{"heart_rate":72,}',
      '[1',
      '"a\nb"',
      '{"heart_rate":72}x',
      ' ',
      '{heart_rate:72}',
      '"\\x"',
      '.5',
      '1.',
      '0x48',
      'undefined',
      '\u00a072',
    ],
  ],
  ['payload_not_a_reading', ['[72]', '"72"', 'true', 'false', 'null', '[]']],
  ['payload_not_finite', ['NaN', 'Infinity', '-Infinity', '{"heart_rate":NaN}', '{"heart_rate":72,"x":[-Infinity]}']],
  [
    'payload_duplicate_names',
    [
      '{"heart_rate":72,"heart_rate":73}',
      '{"heart_rate":72,"heart\\u005frate":73}',
      '{"heart_rate":72,"x":{"a":1,"a":1}}',
      '{"heart_rate":72,"__proto__":1,"__proto__":2}',
    ],
  ],
  ['payload_lone_surrogate', ['{"heart_rate":72,"x":"\\ud800"}', '{"heart_rate":72,"\\udc00":1}']],
  ['payload_too_deep', [`{"heart_rate":72,"x":${'['.repeat(32)}${']'.repeat(32)}}`, '['.repeat(60_000)]],
  ['payload_not_utf8', [Buffer.from([0x37, 0x32, 0xff]), Buffer.from([0xed, 0xa0, 0x80]), Buffer.from([0xc0, 0x80])]],
  ['payload_byte_order_mark', ['\ufeff72', '\ufeff{"heart_rate":72}']],
  ['payload_too_large', [`{"heart_rate":72,"x":"${'x'.repeat(65_536)}"}`, Buffer.alloc(65_537, 0x20)]],
  ['heart_rate_missing', ['{}', '{"timestamp":"2026-11-30T08:00:00Z"}', '{"Heart_Rate":72}', '{"heart_rate ":72}']],
  [
    'heart_rate_type',
    [
      '{"heart_rate":"72"}',
      '{"heart_rate":null}',
      '{"heart_rate":[72]}',
      '{"heart_rate":{"heart_rate":72}}',
      '{"heart_rate":true}',
    ],
  ],
  ['heart_rate_not_integer', ['72.5', '{"heart_rate":72.00000000000000001}', '1e-1', '72.9999999999999999999']],
  ['heart_rate_out_of_range', ['-1', '65536', '1e400', '{"heart_rate":-72}', '999999999999999999999']],
  [
    'timestamp_type',
    [
      '{"heart_rate":72,"timestamp":null}',
      '{"heart_rate":72,"timestamp":["2026-11-30T08:00:00Z"]}',
      '{"heart_rate":72,"timestamp":true}',
    ],
  ],
  ['timestamp_epoch', ['{"heart_rate":72,"timestamp":1790000000}', '{"heart_rate":72,"timestamp":1790000000000.5}']],
  [
    'timestamp_invalid',
    [
      '',
      'now',
      '2026-11-30',
      '20261130T080000Z',
      '30.11.2026 08:00',
      '2026-11-30T08:00Z',
      '2026-11-30T08:00:00+0100',
      '2026-11-30T08:00:00,5Z',
      '2026-11-30T08:00:00.Z',
      '1790000000',
      '2026-11-30T08:00:00Z ',
      '2026-11-30T08:00:00 CET',
      'Mon Nov 30 2026',
      '+02026-11-30T08:00:00Z',
    ].map(at),
  ],
  ['timestamp_without_offset', ['2026-11-30T08:00:00', '2026-11-30 08:00:00.123456'].map(at)],
  [
    'timestamp_impossible',
    [
      '2026-02-30T08:00:00Z',
      '2026-02-29T08:00:00Z',
      '1900-02-29T00:00:00Z',
      '2026-13-01T08:00:00Z',
      '2026-00-10T08:00:00Z',
      '2026-11-00T08:00:00Z',
      '2026-11-31T08:00:00Z',
      '2026-11-30T24:00:00Z',
      '2026-11-30T08:60:00Z',
      '2016-12-31T23:59:60Z',
      '2026-11-30T08:00:00+24:00',
      '2026-11-30T08:00:00+01:60',
      '0000-01-01T00:00:00+00:01',
      '9999-12-31T23:59:59-00:01',
    ].map(at),
  ],
];

test('what is not a reading is refused, with the code that names why', () => {
  for (const [code, payloads] of REFUSED)
    for (const payload of payloads) {
      const outcome = read(payload);
      assert.equal(outcome.kind === 'refused' ? outcome.code : outcome.kind, code, payload.toString().slice(0, 80));
    }
});

test('a refusal carries the payload as it was: as text, in base64 if it is not text, an excerpt if it is too large', () => {
  const refused = (payload: Buffer): Record<string, unknown> =>
    refusalOf({ code: 'payload_not_json', detail: 'd', device: 'x', publisher: 'app', arrivedAt: CONTEXT.arrivedAt, payload });
  assert.deepEqual(refused(Buffer.from('72 bpm\n\u2028"')), {
    refused: { code: 'payload_not_json', detail: 'd' },
    device: 'x',
    publisher: 'app',
    timestamp: '2026-11-30T08:00:00.500Z',
    payload: '72 bpm\n\u2028"',
  });
  const bytes = Buffer.from([0xff, 0, 1]);
  assert.deepEqual(Buffer.from(String(refused(bytes)['payload_base64']), 'base64'), bytes);
  const large = refused(Buffer.alloc(1_000_000, 'x'));
  assert.equal(large['payload_bytes'], 1_000_000);
  assert.ok(JSON.stringify(large).length < 2000);
  // Whatever the payload is, its dead letter fits a record.
  for (const filling of ['\0', '"', '\n', '\\', '\u001f'])
    assert.ok(JSON.stringify(refused(Buffer.alloc(65_536, filling))).length < 200_000, JSON.stringify(filling));
});

test('property: the strict reader takes nothing that JSON.parse does not, and refuses valid JSON only for the faults that it names', () => {
  const named = new Set(['payload_duplicate_names', 'payload_lone_surrogate', 'payload_too_deep']);
  const parses = (text: string): boolean => {
    try {
      JSON.parse(text);
      return true;
    } catch {
      return false;
    }
  };
  const damaged = fc
    .tuple(
      fc.json({ depthSize: 'small' }),
      fc.nat(),
      fc.constantFrom('', ',', '"', '\\', '}', '1', 'e', '\n', '\u0001', '\u0085', 'NaN'),
    )
    .map(([json, position, text]) => {
      const index = position % (json.length + 1);
      return json.slice(0, index) + text + json.slice(index + 1);
    });
  fc.assert(
    fc.property(fc.oneof(fc.json(), damaged, fc.string({ unit: 'binary' })), (text) => {
      const reading = readJsonText(text);
      if (reading.ok) assert.ok(parses(text));
      else if (parses(text)) assert.ok(named.has(reading.code), `${reading.code} ${text}`);
    }),
    { numRuns: 3000 },
  );
});

test('property: an adopted heart rate is exactly the number that was written', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 65_535 }), fc.nat({ max: 8 }), fc.nat({ max: 30 }), (bpm, shift, zeros) => {
      const digits = String(bpm).padStart(shift + 1, '0');
      const scaled = `${digits.slice(0, digits.length - shift)}.${digits.slice(digits.length - shift)}${'0'.repeat(zeros + 1)}e${shift}`;
      assert.deepEqual(heartRateOf(scaled), { ok: true, bpm });
      assert.equal(heartRateOf(`${bpm}.${'0'.repeat(zeros)}1`).ok, false);
    }),
  );
});

test('property: a timestamp of any moment and offset is normalised to that moment in UTC', () => {
  fc.assert(
    fc.property(
      fc.date({ min: new Date('0001-01-01T00:00:00Z'), max: new Date('9998-12-31T00:00:00Z'), noInvalidDate: true }),
      fc.integer({ min: -1439, max: 1439 }),
      (moment, offsetMinutes) => {
        const local = new Date(moment.getTime() + offsetMinutes * 60_000).toISOString().slice(0, -1);
        const ahead = Math.abs(offsetMinutes);
        const two = (value: number): string => String(value).padStart(2, '0');
        const text = `${local}${offsetMinutes < 0 ? '-' : '+'}${two(Math.floor(ahead / 60))}:${two(ahead % 60)}`;
        assert.deepEqual(timestampOf(text), { ok: true, utc: moment.toISOString(), truncated: false });
      },
    ),
  );
});

test('property: any bytes have exactly one outcome, and what is stored of them is one line of JSON', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      const outcome = readPayload(Buffer.from(bytes), CONTEXT);
      if (outcome.kind === 'reading') assert.equal(JSON.stringify(outcome.reading).includes('\n'), false);
    }),
    { numRuns: 2000 },
  );
});

test('a device name of another client is one topic level of 1-64 code points, without characters that nobody sees', () => {
  for (const name of ['Bike1', 'x', '\u{1f6b4}'.repeat(64), 'a b', 'Jürgen', '__proto__', 'constructor', '...', '$x'])
    assert.equal(readingDeviceOf(`hr/${name}/bpm`), name);
  for (const name of [
    '',
    '.',
    '..',
    'x'.repeat(65),
    '\u{1f6b4}'.repeat(65),
    'a\u0007',
    'a\u200b',
    'a\u2028',
    'a\u2029',
    'a\ufffd',
    'a\u0085',
    'a/b',
    '\u202eb',
  ])
    assert.equal(readingDeviceOf(`hr/${name}/bpm`), undefined, JSON.stringify(name));
  for (const topic of ['hr', 'hr/', 'hr/x', 'hr/x/status', 'hr/x/bpm/', 'HR/x/bpm', 'hr//bpm', '/hr/x/bpm'])
    assert.equal(readingDeviceOf(topic), undefined, topic);
});
