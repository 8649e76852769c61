import assert from 'node:assert/strict';
import { test } from 'node:test';
import { salvageLarge } from './support/large-salvage.ts';

test('1.5 million rows of a damaged queue are salvaged within 512 MiB', (t) => {
  const { state, rssMiB, seconds } = salvageLarge(t, 1_500_000, 256);
  t.diagnostic(JSON.stringify({ rssMiB, seconds, queued: state.queued }));
  assert.ok(rssMiB < 512, `${rssMiB} MiB`);
  assert.ok(state.queued > 1_498_000, state.damage);
  assert.equal(state.accepted, 1_500_000);
});

test('1.5 million rows of which several sources hold the same ones are salvaged within 512 MiB', (t) => {
  const { state, rssMiB, seconds } = salvageLarge(t, 1_500_000, 256, 3);
  t.diagnostic(JSON.stringify({ rssMiB, seconds, queued: state.queued }));
  assert.match(state.damage, /the write-ahead log is damaged/);
  assert.ok(rssMiB < 512, `${rssMiB} MiB`);
  assert.ok(state.queued > 1_499_900 && state.queued <= 1_500_000, state.damage);
  assert.equal(state.accepted, 1_500_000);
  assert.equal(state.evictedBy['damaged'] ?? 0, 1_500_000 - state.queued);
});
