import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { encodeHeartRateMeasurement, rrToMs } from '../../ble-bridge/gatt/hrm-parser.ts';
import { sharedRadio } from './support/shared-radio.ts';
import { strapAddress, virtualRadioMissing } from './support/virtual-radio.ts';

describe('five straps at once', { skip: virtualRadioMissing() }, () => {
  const ids = [1, 2, 3, 4, 5];
  const shared = sharedRadio(
    Object.fromEntries(ids.map((id) => [id, { name: `HR${id}`, bpm: 100 + id, period: 0.5, battery: 50 + id }])),
  );

  test('each strap has its own readings, and none of another', async () => {
    const { bench } = shared;
    await Promise.all(ids.map(async (id) => await bench.flows(id, 3)));
    for (const id of ids) assert.ok(bench.readingsOf(id).every(({ heart_rate }) => heart_rate === 100 + id));
  });

  test('heart rates over 255, nine RR intervals, energy, and changes of contact are passed on as sent', async () => {
    const { radio, bench } = shared;
    const rr1024 = [700, 701, 702, 703, 704, 705, 706, 707, 708];
    const sent = [
      { bpm: 300, contact: true, energyKj: 65_535, rr1024: [] },
      { bpm: 180, contact: null, energyKj: null, rr1024 },
      { bpm: 181, contact: false, energyKj: null, rr1024: [] },
      { bpm: 182, contact: true, energyKj: 12, rr1024: [1024] },
    ];
    for (const measurement of sent) await radio.raw(3, encodeHeartRateMeasurement(measurement));
    const taken = await eventually(() => {
      const own = bench.readingsOf(3).filter(({ heart_rate }) => heart_rate !== 103);
      return own.length >= sent.length ? own : undefined;
    });
    assert.deepEqual(
      taken.map(({ heart_rate, sensor_contact, energy_expended_kj, rr_intervals_ms }) => [
        heart_rate,
        sensor_contact,
        energy_expended_kj,
        rr_intervals_ms,
      ]),
      sent.map(({ bpm, contact, energyKj, rr1024: intervals }) => [bpm, contact, energyKj, intervals.map(rrToMs)]),
    );
  });

  test('each strap has its own battery level', async () => {
    const { radio, bench } = shared;
    for (const id of ids) await radio.op('batt', { id, level: 20 + id });
    await eventually(() => ids.every((id) => bench.strap(id)?.status().battery_percent === 20 + id));
  });

  test('a strap without a battery service streams too', async () => {
    const { radio, bench } = shared;
    await radio.add(6, { name: 'NoBattery', bpm: 66, battery: null, period: 0.3 });
    await bench.flows(6);
    assert.equal(bench.strap(6)?.status().battery_percent, null);
    assert.equal(bench.strap(6)?.address, strapAddress(6));
  });

  test('every valid fuzzed notification with a pulse is a reading, nothing throws, and links stay open', async () => {
    const { radio, bench } = shared;
    await radio.add(7, { name: 'Fuzz', period: 0 });
    await bench.listening(7);
    let valid = 0;
    for (let i = 0; i < 300; i += 1) {
      const bytes = Buffer.from(Array.from({ length: i % 20 }, (_, at) => (i * 31 + at * 17 + i * at) & 0xff));
      const flags = bytes[0] ?? 0;
      // A heart rate is taken even if the rest is cut off.
      const needed = flags & 1 ? 3 : 2;
      const bpm = flags & 1 ? (bytes[1] ?? 0) | ((bytes[2] ?? 0) << 8) : (bytes[1] ?? 0);
      if (bytes.length >= needed && bpm > 0) valid += 1;
      await radio.raw(7, bytes);
    }
    await eventually(() => bench.readingsOf(7).length === valid);
    assert.equal(bench.strap(7)?.status().reconnects, 0);
    assert.equal(bench.session.straps.all.filter(({ link }) => link.connected).length, 7);
  });
});
