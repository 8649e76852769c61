/** Laws for any notification: exactly the measurement that was sent becomes a reading, and nothing else does. */
import assert from 'node:assert/strict';
import type { StrapReading } from '../../../ble-bridge/straps/strap-ports.ts';
import type { Strap } from '../../../ble-bridge/straps/strap.ts';

export interface NotifiedStrap {
  strap: Strap;
  /** Readings since the last check, which removes them. */
  readings: StrapReading[];
  /** Malformed notifications so far. */
  malformed(): number;
  /** Delivers a notification to the link, synchronously. */
  deliver(bytes: Buffer): void;
}

/** An independent parser after the specification; undefined if the heart rate is cut off. */
function measurementIn(
  bytes: Buffer,
): { bpm: number; contact: boolean | null; energy: number | null; rr: number[]; cut: boolean } | undefined {
  const [flags = 0] = bytes;
  const wide = flags % 2 === 1;
  const hasEnergy = Math.floor(flags / 8) % 2 === 1;
  const energyAt = wide ? 3 : 2;
  const rrAt = energyAt + (hasEnergy ? 2 : 0);
  if (bytes.length < energyAt) return undefined;
  const rr: number[] = [];
  const hasRr = Math.floor(flags / 16) % 2 === 1;
  const energyCut = hasEnergy && bytes.length < rrAt;
  if (hasRr) for (let at = rrAt; at + 2 <= bytes.length; at += 2) rr.push(bytes.readUInt16LE(at));
  const contactBits = Math.floor(flags / 2) % 4;
  return {
    bpm: wide ? bytes.readUInt16LE(1) : bytes.readUInt8(1),
    contact: contactBits < 2 ? null : contactBits === 3,
    energy: hasEnergy && !energyCut ? bytes.readUInt16LE(energyAt) : null,
    rr,
    cut: energyCut || (hasRr && rrAt + 2 * Math.max(1, rr.length) !== bytes.length),
  };
}

/** Delivers these bytes and checks the laws. */
export function checkNotification(bytes: Buffer, { strap, readings, malformed, deliver }: NotifiedStrap): void {
  const stateBefore = strap.link.state;
  const malformedBefore = malformed();
  deliver(bytes);
  const taken = readings.splice(0);
  const measurement = measurementIn(bytes);
  assert.ok(strap.link.connected, 'the link stays open');
  assert.equal(malformed() - malformedBefore, measurement === undefined || measurement.cut ? 1 : 0);
  if (measurement === undefined || measurement.bpm === 0) {
    assert.deepEqual(taken, []);
    assert.equal(strap.link.state, measurement === undefined ? stateBefore : 'no_pulse');
    return;
  }
  assert.equal(taken.length, 1);
  const [reading] = taken;
  assert.equal(reading?.heart_rate, measurement.bpm);
  assert.equal(reading.sensor_contact, measurement.contact);
  assert.equal(reading.energy_expended_kj, measurement.energy);
  assert.deepEqual(
    reading.rr_intervals_ms.map((ms) => (ms * 1024) / 1000),
    measurement.rr,
  );
  assert.equal(strap.link.state, measurement.contact === false ? 'no_contact' : 'streaming');
}
