import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { quietSource, startSoftSession } from './support/soft-session.ts';

test('in a gym, with an allow list, a stranger\'s strap is neither connected nor known, and one that is denied is not either', async (t) => {
  const source = quietSource('Polar H10 1', 'TICKR of a stranger', 'Polar H10 2');
  const { session, statuses } = await startSoftSession(t, source, { environment: { BLE_ALLOW: 'polar*', BLE_DENY: 'c0:00:00:00:00:03' } });
  await eventually(() => session.straps.all[0]?.link.state === 'subscribing');
  // Each was heard again and again since.
  await eventually(() => (session.straps.all[0]?.status().advertisements_per_minute ?? 0) >= 1 && session.status().advertisements_per_minute >= 6);
  assert.deepEqual(session.straps.all.map(({ address }) => address), ['c0:00:00:00:00:01']);
  assert.deepEqual(source.straps.map(({ connected }) => connected), [true, false, false]);
  assert.ok(statuses.every(({ name }) => name === 'Polar H10 1'));
});
