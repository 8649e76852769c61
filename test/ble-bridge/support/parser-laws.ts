/** Random and mutated notifications, and the parser's invariants. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { encodeHeartRateMeasurement, parseHeartRateMeasurement } from '../../../ble-bridge/gatt/hrm-parser.ts';

const uint16 = fc.integer({ min: 0, max: 65_535 });
const valid = fc
  .record({
    bpm: uint16,
    contact: fc.option(fc.boolean()),
    energyKj: fc.option(uint16),
    rr1024: fc.array(uint16, { maxLength: 12 }),
  })
  .map((measurement) => encodeHeartRateMeasurement(measurement));

/** Valid notifications, truncated ones, ones with a changed byte, and random bytes. */
export const notificationBytes = fc.oneof(
  fc.uint8Array({ maxLength: 24 }).map((bytes) => Buffer.from(bytes)),
  valid,
  fc.tuple(valid, fc.nat(24)).map(([bytes, length]) => bytes.subarray(0, length)),
  fc.tuple(valid, fc.nat(23), fc.nat(255)).map(([bytes, at, value]) => {
    const mutated = Buffer.from(bytes);
    if (mutated.length > 0) mutated[at % mutated.length] = value;
    return mutated;
  }),
);

export function checkParserInvariants(bytes: Buffer): void {
  const parsed = parseHeartRateMeasurement(bytes);
  const flags = bytes[0] ?? 0;
  const energyAt = flags & 1 ? 3 : 2;
  const rrAt = energyAt + (flags & 8 ? 2 : 0);
  assert.equal(parsed.ok, bytes.length >= energyAt);
  if (!parsed.ok) return;
  const energyCut = (flags & 8) !== 0 && bytes.length < rrAt;
  const rrCut = (flags & 16) !== 0 && (bytes.length < rrAt + 2 || (bytes.length - rrAt) % 2 === 1);
  assert.equal(parsed.cut !== undefined, energyCut || rrCut);
  const { bpm, contact, energyKj, rr1024 } = parsed.measurement;
  assert.ok(Number.isInteger(bpm) && bpm >= 0 && bpm <= (flags & 1 ? 65_535 : 255));
  assert.equal(contact === null, (flags & 4) === 0);
  assert.equal(energyKj === null, (flags & 8) === 0 || energyCut);
  assert.ok(energyKj === null || (energyKj >= 0 && energyKj <= 65_535));
  assert.equal(rr1024.length, flags & 16 ? Math.max(0, Math.floor((bytes.length - rrAt) / 2)) : 0);
  assert.ok(rr1024.every((interval) => Number.isInteger(interval) && interval >= 0 && interval <= 65_535));
}
