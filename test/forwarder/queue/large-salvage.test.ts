import assert from 'node:assert/strict';
import { test } from 'node:test';
import { salvageLarge } from './support/large-salvage.ts';

test('a damaged queue is salvaged row by row: 250,000 rows need no more memory than a few', (t) => {
  const few = salvageLarge(t, 5000, 64);
  const many = salvageLarge(t, 250_000, 64);
  t.diagnostic(JSON.stringify({ few: few.rssMiB, many: many.rssMiB, seconds: many.seconds }));
  assert.match(many.state.damage, /^queue_damaged: /);
  assert.ok(many.state.queued > 249_000 && many.state.queued < 250_000, many.state.damage);
  assert.equal(many.state.accepted, 250_000);
  assert.equal(many.state.evictedBy['damaged'], 250_000 - many.state.queued);
  assert.ok(many.rssMiB < few.rssMiB + 60, `${few.rssMiB} MiB with few rows, ${many.rssMiB} MiB with many`);
});

test('rows that several sources hold are salvaged within the same memory, and each is counted once', (t) => {
  const few = salvageLarge(t, 10_000, 64, 3);
  const many = salvageLarge(t, 150_000, 64, 3);
  t.diagnostic(JSON.stringify({ few: few.rssMiB, many: many.rssMiB, seconds: many.seconds }));
  assert.match(many.state.damage, /the write-ahead log is damaged/);
  assert.ok(many.state.queued > 149_900 && many.state.queued <= 150_000, many.state.damage);
  assert.equal(many.state.accepted, 150_000);
  assert.equal(many.state.evictedBy['damaged'] ?? 0, 150_000 - many.state.queued);
  assert.ok(many.rssMiB < few.rssMiB + 60, `${few.rssMiB} MiB with few rows, ${many.rssMiB} MiB with many`);
});
