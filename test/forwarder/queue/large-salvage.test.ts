import assert from 'node:assert/strict';
import { test } from 'node:test';
import { salvageLarge } from './support/large-salvage.ts';

/** The heap is smaller than what the rows need, and memory outside of it may not grow with them either. */
const HEAP_MIB = 40;
const [FEWER, MANY] = [50_000, 250_000];
const GROWTH_MAX = 1.35;

test('a damaged queue is salvaged row by row: five times the rows need no more memory', (t) => {
  const fewer = salvageLarge(t, FEWER, HEAP_MIB);
  const many = salvageLarge(t, MANY, HEAP_MIB);
  t.diagnostic(JSON.stringify({ fewer: fewer.rssMiB, many: many.rssMiB, seconds: many.seconds }));
  assert.match(many.state.damage, /^queue_damaged: /);
  assert.ok(many.state.queued > MANY - 1000 && many.state.queued < MANY, many.state.damage);
  assert.equal(many.state.accepted, MANY);
  assert.equal(many.state.evictedBy['damaged'], MANY - many.state.queued);
  assert.ok(many.rssMiB < fewer.rssMiB * GROWTH_MAX, `${fewer.rssMiB} MiB with ${FEWER} rows, ${many.rssMiB} MiB with ${MANY}`);
});

test('rows that several sources hold are salvaged within the same memory, and each is counted once', (t) => {
  const fewer = salvageLarge(t, FEWER, HEAP_MIB, 3);
  const many = salvageLarge(t, MANY, HEAP_MIB, 3);
  t.diagnostic(JSON.stringify({ fewer: fewer.rssMiB, many: many.rssMiB, seconds: many.seconds }));
  assert.match(many.state.damage, /the write-ahead log is damaged/);
  assert.ok(many.state.queued > MANY - 100 && many.state.queued <= MANY, many.state.damage);
  assert.equal(many.state.accepted, MANY);
  assert.equal(many.state.evictedBy['damaged'] ?? 0, MANY - many.state.queued);
  assert.ok(many.rssMiB < fewer.rssMiB * GROWTH_MAX, `${fewer.rssMiB} MiB with ${FEWER} rows, ${many.rssMiB} MiB with ${MANY}`);
});
