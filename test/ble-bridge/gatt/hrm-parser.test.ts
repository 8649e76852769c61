import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { encodeHeartRateMeasurement, parseHeartRateMeasurement } from '../../../ble-bridge/gatt/hrm-parser.ts';
import { parseBatteryLevel, parseBodySensorLocation, parseText } from '../../../ble-bridge/gatt/optional-values.ts';
import { checkParserInvariants, notificationBytes } from '../support/parser-laws.ts';

interface Vector {
  hex: string;
  bpm: number | null;
  contact: boolean | null;
  energy_kj: number | null;
  rr_1024: number[];
  source: string;
  expect?: 'reject';
}

const vectors = JSON.parse(readFileSync(new URL('../../data/hrm-vectors.json', import.meta.url), 'utf8')) as Vector[];

describe('the parser of 0x2A37', () => {
  for (const vector of vectors)
    test(`agrees with "${vector.hex}" of ${vector.source.split(' ')[0]}`, () => {
      const parsed = parseHeartRateMeasurement(Buffer.from(vector.hex, 'hex'));
      if (vector.expect === 'reject') return assert.equal(parsed.ok, false);
      assert.ok(parsed.ok);
      assert.deepEqual(parsed.measurement, {
        bpm: vector.bpm,
        contact: vector.contact,
        energyKj: vector.energy_kj,
        rr1024: vector.rr_1024,
      });
    });

  test('reserved flag bits are ignored', () => {
    fc.assert(
      fc.property(notificationBytes, fc.integer({ min: 1, max: 7 }), (bytes, reserved) => {
        if (bytes.length === 0) return;
        const flagged = Buffer.from(bytes);
        flagged[0] = (flagged[0] ?? 0) ^ (reserved << 5);
        assert.deepEqual(parseHeartRateMeasurement(flagged), parseHeartRateMeasurement(bytes));
      }),
    );
  });

  test('an encoded measurement is parsed back unchanged', () => {
    const uint16 = fc.integer({ min: 0, max: 65_535 });
    fc.assert(
      fc.property(
        uint16,
        fc.option(fc.boolean()),
        fc.option(uint16),
        fc.array(uint16, { maxLength: 60 }),
        (bpm, contact, energyKj, rr1024) => {
          const measurement = { bpm, contact, energyKj, rr1024 };
          assert.deepEqual(parseHeartRateMeasurement(encodeHeartRateMeasurement(measurement)), {
            ok: true,
            measurement,
            cut: undefined,
          });
        },
      ),
    );
  });

  test('arbitrary bytes never make it throw, and results stay within the bounds of the specification', () => {
    fc.assert(fc.property(notificationBytes, checkParserInvariants), { numRuns: 20_000 });
  });
});

describe('battery, body location and device information', () => {
  test('a text ends at a zero byte and at 100 characters; an empty one is null', () => {
    assert.equal(parseText(Buffer.from('Polar H10\0\0')), 'Polar H10');
    assert.equal(parseText(Buffer.from(' \0x')), null);
    assert.equal(parseText(Buffer.alloc(300, 'x'))?.length, 100);
  });

  test('a battery level over 100 % and an empty value are null', () => {
    assert.equal(parseBatteryLevel(Buffer.from([87])), 87);
    assert.equal(parseBatteryLevel(Buffer.from([0])), 0);
    assert.equal(parseBatteryLevel(Buffer.from([101])), null);
    assert.equal(parseBatteryLevel(Buffer.alloc(0)), null);
  });

  test('reserved body locations are null', () => {
    assert.equal(parseBodySensorLocation(Buffer.from([1])), 'chest');
    assert.equal(parseBodySensorLocation(Buffer.from([6])), 'foot');
    assert.equal(parseBodySensorLocation(Buffer.from([7])), null);
    assert.equal(parseBodySensorLocation(Buffer.alloc(0)), null);
  });
});
