import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cannotRun } from '../../support/cannot-run.ts';
import { runSlow, summary } from './support/slow-product.ts';

test('syncs of half a second never block the event loop of npm start, and readings are still accepted', async (t) => {
  const run = await runSlow(t, { ms: 500, straps: 40, seconds: 5 });
  if (run === undefined) return cannotRun(t, 'no gcc');
  t.diagnostic(summary(run));
  assert.ok(run.syncs > 5);
  assert.deepEqual(run.onMainThread, []);
});
