import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { SoftRadio } from '../../ble-bridge/radio/virtual/soft-radio.ts';
import { quietSource, startSoftSession } from './support/soft-session.ts';

test('with an allow list, straps that are not on it or are denied are neither connected nor known', async (t) => {
  const source = quietSource('Polar H10 1', 'TICKR 1', 'Polar H10 2');
  const { session, statuses } = await startSoftSession(t, source, {
    environment: { BLE_ALLOW: 'polar*', BLE_DENY: 'c0:00:00:00:00:03' },
  });
  await eventually(() => session.straps.all[0]?.link.state === 'subscribing');
  // Each strap has advertised several times since.
  await eventually(
    () =>
      (session.straps.all[0]?.status().advertisements_per_minute ?? 0) >= 1 && session.status().advertisements_per_minute >= 6,
  );
  assert.deepEqual(
    session.straps.all.map(({ address }) => address),
    ['c0:00:00:00:00:01'],
  );
  assert.deepEqual(
    source.straps.map(({ connected }) => connected),
    [true, false, false],
  );
  assert.ok(statuses.every(({ name }) => name === 'Polar H10 1'));
});

test('beyond the limit of known straps the one unseen for longest is dropped, never a connected one', async (t) => {
  const source = quietSource('A', 'B', 'C', 'D');
  for (const strap of source.straps.slice(1)) strap.present = false;
  const { session, dropped } = await startSoftSession(t, source, { strapsMax: 2 });
  const [, b, c, d] = source.straps;
  const known = (): string[] => session.straps.all.map(({ device }) => device);
  await eventually(() => session.straps.all[0]?.link.state === 'subscribing');
  for (const next of [b, c, d]) {
    if (next === undefined) continue;
    next.present = true;
    await eventually(() => session.straps.all.some(({ address, link }) => address === next.options.address && link.connected));
    next.present = false;
    next.drop('out_of_range');
  }
  assert.deepEqual(known(), ['a-000001', 'd-000004']);
  assert.deepEqual(dropped, ['b-000002', 'c-000003']);
  // A strap that returns keeps its name.
  if (b !== undefined) b.present = true;
  await eventually(() => known().includes('b-000002'));
});

test('a strap that delivered is never dropped for newcomers, however long it was not received', async (t) => {
  const source = quietSource('Mine', 'B', 'C', 'D');
  for (const strap of source.straps.slice(1)) strap.present = false;
  const { session, readings, dropped } = await startSoftSession(t, source, { strapsMax: 2 });
  const [mine, ...strangers] = source.straps;
  await eventually(() => mine?.subscribed === true);
  mine?.notify(Buffer.from([0x16, 70]));
  assert.equal(readings.length, 1);
  if (mine !== undefined) mine.present = false;
  mine?.drop('out_of_range');
  for (const next of strangers) {
    next.present = true;
    await eventually(() => session.straps.all.some(({ address, link }) => address === next.options.address && link.connected));
    next.present = false;
    next.drop('out_of_range');
  }
  assert.deepEqual(dropped, ['b-000002', 'c-000003']);
  assert.equal(session.straps.all[0]?.device, 'mine-000001');
  assert.equal(session.straps.all[0].rank, 'own');
});

test('a strap that keeps changing its name between allowed and denied ones comes and goes once', async (t) => {
  const source = quietSource('HR');
  const radio = new SoftRadio(source);
  const { session, dropped } = await startSoftSession(t, source, { radio, environment: { BLE_DENY: 'bad*' } });
  await eventually(() => session.straps.all[0]?.link.connected === true);
  const advertise = (name: string): unknown =>
    radio.events.emit('advertisement', {
      address: 'c0:00:00:00:00:01',
      name,
      rssi: -50,
      connectable: true,
      serviceUuids: ['180d'],
    });
  for (let change = 0; change < 1000; change += 1) advertise(change % 2 === 0 ? `bad ${change}` : `good ${change}`);
  assert.equal(dropped.length, 1);
  assert.deepEqual(session.straps.all, []);
});

test('a strap that is let go for the name that it tells is dropped under the device name that it had', async (t) => {
  const source = quietSource('');
  const radio = new SoftRadio(source);
  const { session, dropped } = await startSoftSession(t, source, { radio, environment: { BLE_DENY: 'bad*' } });
  const strap = { address: 'c0:00:00:00:00:09', rssi: -50, connectable: true, serviceUuids: ['180d'] };
  radio.events.emit('advertisement', { ...strap, name: undefined });
  assert.ok(session.straps.find('strap-000009') !== undefined, 'it is known without a name');
  radio.events.emit('advertisement', { ...strap, name: 'Bad Watch' });
  assert.deepEqual(dropped, ['strap-000009']);
});
