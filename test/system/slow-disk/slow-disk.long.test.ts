import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cannotRun } from '../../support/cannot-run.ts';
import { runSlow, summary } from './support/slow-product.ts';

for (const ms of [50, 500])
  test(`syncs that take ${ms} ms leave the event loop of all services in one process below 30 ms (p99)`, async (t) => {
    const run = await runSlow(t, { ms, straps: 40, seconds: 15 });
    if (run === undefined) return cannotRun(t, 'no gcc');
    t.diagnostic(summary(run));
    assert.deepEqual(run.onMainThread, []);
    // On an overloaded machine, compare with the delay before the disk was slow.
    assert.ok(run.loop.p99 < Math.max(30, 2 * run.before.p99), summary(run));
  });
