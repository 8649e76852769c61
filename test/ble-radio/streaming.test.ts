import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { startBench } from './support/radio-bench.ts';
import { startVirtualRadio, virtualRadioMissing } from './support/virtual-radio.ts';

describe('straps over unmodified noble', { skip: virtualRadioMissing() }, () => {
  test('a strap is discovered and connected, and its readings, battery and information are read', async (t) => {
    const radio = await startVirtualRadio(t);
    await radio.add(1, { name: 'Polar H10 1', bpm: 72, contact: true, rr: [0.8, 0.81], battery: 64, period: 0.2, loc: 1 });
    const bench = await startBench(t, radio);
    await bench.reaches(1, 'streaming');
    const [reading] = bench.readingsOf(1);
    assert.equal(reading?.heart_rate, 72);
    assert.equal(reading.sensor_contact, true);
    assert.equal(reading.device, 'polar-h10-1-000001');
    assert.equal(reading.source, undefined);
    assert.deepEqual(reading.rr_intervals_ms.map(Math.round), [800, 810]);
    const status = await eventually(() => {
      const now = bench.strap(1)?.status();
      return now?.rssi === -50 && now.firmware !== null ? now : undefined;
    });
    assert.equal(status.battery_percent, 64);
    assert.equal(status.battery_low, false);
    assert.equal(status.manufacturer, 'ACME');
    assert.equal(status.model, 'HR-102');
    assert.equal(status.firmware, '1.2');
    assert.equal(status.body_sensor_location, 'chest');
    assert.equal(status.source, 'noble');
    await radio.op('batt', { id: 1, level: 9 });
    await eventually(() => bench.strap(1)?.status().battery_low === true);
  });
});
