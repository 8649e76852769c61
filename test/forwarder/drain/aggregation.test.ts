import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { cannotRun } from '../../support/cannot-run.ts';
import { fileURLToPath } from 'node:url';
import aggregation from 'aws-kinesis-agg';
import fc from 'fast-check';
import { deaggregate } from '../../../cloud/aggregation.ts';
import { aggregate, aggregatedBytes, aggregateOverheadBytes } from '../../../forwarder/drain/aggregation.ts';
import { kinesisPython } from '../../support/kinesis-python.ts';

const READING = { timestamp: '2026-11-22T19:00:00.123Z', device: 'polar-h10-a1b2c3', run: '3f9a1c2e00b7d415' };

interface Case {
  key: string;
  readings: Buffer[];
}

const readingOf = (seq: number, padding: number): Buffer =>
  Buffer.from(`${JSON.stringify({ ...READING, heart_rate: 60 + (seq % 120), seq, padding: 'x'.repeat(padding) })}\n`);

/** Sizes around the borders of one, two and three bytes of length, one reading and thousands. */
const CASES: readonly Case[] = [
  { key: 'd', readings: [readingOf(1, 0)] },
  { key: 'polar-h10-a1b2c3', readings: Array.from({ length: 161 }, (_, index) => readingOf(index, 0)) },
  { key: 'a'.repeat(256), readings: [0, 1, 2, 3, 4, 5].map((index) => readingOf(index, 16_384 - 140 + index)) },
  {
    key: 'ключ',
    readings: [
      Buffer.from('1'),
      Buffer.from('ü'),
      Buffer.alloc(127, 'a'),
      Buffer.alloc(128, 'b'),
      Buffer.alloc(16_383, 'c'),
      Buffer.alloc(16_384, 'd'),
    ],
  },
  { key: 'many', readings: Array.from({ length: 5000 }, (_, index) => readingOf(index, 0)) },
];

test('any aggregate is split into the same readings, and is no larger than estimated', () => {
  fc.assert(
    fc.property(
      fc.string({ minLength: 1, maxLength: 40, unit: 'binary' }),
      fc.array(fc.uint8Array({ maxLength: 300 }), { minLength: 1, maxLength: 60 }),
      (key, list) => {
        const readings = list.map((bytes) => Buffer.from(bytes));
        const whole = aggregate(key, readings);
        const partitionKey = Buffer.from(key).toString();
        assert.deepEqual(
          deaggregate('outer', whole),
          readings.map((data) => ({ partitionKey, data })),
        );
        assert.ok(
          whole.length + Buffer.byteLength(key) <=
            aggregateOverheadBytes(key) + readings.reduce((sum, { length }) => sum + aggregatedBytes(length), 0),
        );
      },
    ),
  );
  assert.deepEqual(deaggregate('k', Buffer.from('{"plain":true}')), [{ partitionKey: 'k', data: Buffer.from('{"plain":true}') }]);
});

test('npm aws-kinesis-agg splits our aggregates', async () => {
  for (const { key, readings } of CASES) {
    const record = {
      kinesisSchemaVersion: '1.0',
      partitionKey: key,
      sequenceNumber: '1',
      approximateArrivalTimestamp: 1,
      data: aggregate(key, readings).toString('base64'),
    };
    const found = await new Promise<{ partitionKey: string; data: string }[]>((resolve, reject) => {
      aggregation.deaggregateSync(record, true, (error, records) =>
        error instanceof Error ? reject(error) : resolve(records ?? []),
      );
    });
    assert.deepEqual(
      found.map(({ partitionKey, data }) => ({ partitionKey, data: Buffer.from(data, 'base64') })),
      readings.map((data) => ({ partitionKey: key, data })),
    );
  }
});

test('Python aws_kinesis_agg splits our aggregates', async (t) => {
  const python = await kinesisPython();
  if (python === undefined) {
    return cannotRun(t, 'no Python with aws_kinesis_agg');
  }
  const input = JSON.stringify(CASES.map(({ key, readings }) => ({ key, data: aggregate(key, readings).toString('base64') })));
  const output = execFileSync(python, [fileURLToPath(new URL('support/deaggregate.py', import.meta.url))], {
    input,
    maxBuffer: 64 * 1024 * 1024,
    encoding: 'utf8',
  });
  assert.deepEqual(
    (JSON.parse(output) as { key: string; data: string }[][]).map((records) =>
      records.map(({ key, data }) => ({ key, data: Buffer.from(data, 'base64').toString('hex') })),
    ),
    CASES.map(({ key, readings }) => readings.map((data) => ({ key, data: data.toString('hex') }))),
  );
});
