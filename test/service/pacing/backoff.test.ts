import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Backoff } from '../../../service/pacing/backoff.ts';

test('the longest delay doubles with each attempt up to the limit, and thousands of attempts stay within the bounds', () => {
  const longest = new Backoff({ minMs: 500, maxMs: 60_000, random: () => 1 });
  assert.deepEqual(
    [1, 2, 3, 4].map(() => longest.nextDelayMs()),
    [500, 1000, 2000, 4000],
  );
  for (let i = 0; i < 5000; i += 1) assert.ok(longest.nextDelayMs() <= 60_000);
  longest.reset();
  assert.equal(longest.attempts, 0);
  assert.equal(longest.nextDelayMs(), 500);
  const shortest = new Backoff({ minMs: 500, maxMs: 60_000, random: () => 0 });
  for (let i = 0; i < 50; i += 1) assert.equal(shortest.nextDelayMs(), 250);
});
