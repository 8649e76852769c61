import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DEFAULT_LIMITS } from '../../ble-bridge/straps/link-limits.ts';
import { eventually } from '../support/eventually.ts';
import { sharedRadio } from './support/shared-radio.ts';
import { virtualRadioMissing } from './support/virtual-radio.ts';

const RESET = Buffer.from([0x01]);

describe('optional features of straps', { skip: virtualRadioMissing() }, () => {
  const shared = sharedRadio(
    {
      1: { name: 'Notifies', period: 0.3, battery: 80 },
      2: { name: 'Only reads', period: 0.3, battery: 80, battery_notifies: false },
      3: { name: 'No energy', period: 0.3, energy: false },
      4: { name: 'Hidden', period: 0.3, adv_uuid: false },
      5: { name: 'Aliased', period: 0.3, adv_uuid: false },
    },
    { environment: { BLE_ALIASES: 'hidden-000004=bert,c0:00:00:00:00:05=anna' }, limits: { batteryMs: 1500, rssiMs: 200 } },
  );

  test('a battery level that notifies is read once; one that does not is read again, by default every ten minutes', async () => {
    const { radio, bench } = shared;
    assert.equal(DEFAULT_LIMITS.batteryMs, 600_000);
    const began = performance.now();
    await radio.op('batt', { id: 1, level: 41 });
    await radio.op('level', { id: 2, level: 12 });
    await eventually(() => bench.strap(1)?.status().battery_percent === 41);
    const readsOf1 = (await radio.state()).periph['1']?.battery_reads;
    const low = await eventually(() => (bench.strap(2)?.status().battery_percent === 12 ? bench.strap(2)?.status() : undefined));
    assert.equal(low.battery_low, true);
    await eventually(async () => ((await radio.state()).periph['2']?.battery_reads ?? 0) >= 3);
    const { periph } = await radio.state();
    assert.equal(periph['1']?.battery_reads, readsOf1);
    const most = 2 + Math.ceil((performance.now() - began + 10_000) / 1500);
    assert.ok((periph['2']?.battery_reads ?? Infinity) <= most, `${periph['2']?.battery_reads} reads`);
  });

  test('writing 1 to 0x2A39 resets the energy count; a strap without it reports not_supported', async () => {
    const { radio, bench } = shared;
    assert.equal(await bench.strap(1)?.link.writeControlPoint(RESET), 'done');
    assert.equal((await radio.state()).periph['1']?.resets, 1);
    assert.equal((await radio.state()).periph['2']?.resets, 0);
    assert.equal(await bench.strap(3)?.link.writeControlPoint(RESET), 'not_supported');
  });

  test('straps that do not advertise 0x180D are discovered by configured name or address', async () => {
    const { bench } = shared;
    await bench.flows(4);
    await bench.flows(5);
    assert.deepEqual([bench.strap(4)?.device, bench.strap(5)?.device], ['bert', 'anna']);
  });

  test('the status of each strap has connects, disconnects by reason, reconnect times, advertisements, adapter state', async () => {
    const { radio, bench } = shared;
    await radio.op('terminate', { id: 1, reason: 0x13 });
    await bench.reaches(1, 'lost');
    await bench.flows(1);
    const { connects, disconnects, reconnect_ms_p50, reconnect_ms_p95, advertisements_per_minute, adapter_state } =
      bench.strap(1)?.status() ?? {};
    assert.deepEqual(
      { connects, disconnects, adapter_state },
      { connects: 2, disconnects: { ended_by_strap: 1 }, adapter_state: 'powered_on' },
    );
    assert.ok(
      reconnect_ms_p50 !== null &&
        reconnect_ms_p50 !== undefined &&
        reconnect_ms_p50 > 0 &&
        reconnect_ms_p50 === reconnect_ms_p95,
    );
    assert.ok((advertisements_per_minute ?? 0) >= 2);
    assert.equal(bench.strap(3)?.status().reconnect_ms_p50, null);
    const status = bench.session.status();
    assert.equal(status.adapter, 'hci0');
    assert.equal(status.connects, 6);
    assert.equal(status.reconnect_ms_p50, reconnect_ms_p50);
    assert.ok(status.advertisements_per_minute >= (advertisements_per_minute ?? 0));
    await bench.settled();
  });
});
