import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cannotRun } from '../../support/cannot-run.ts';
import { canTrace } from '../../support/disk-trace.ts';
import { cutAtRandom } from './support/power-cut-laws.ts';
import { recordForwarder } from './support/recorded-forwarder.ts';

test('whenever power fails, every reading below a published watermark survives and the ledger balances', async (t) => {
  if (!canTrace()) return cannotRun(t, 'no strace, or it may not trace here');
  const recording = await recordForwarder(t, 200);
  const account = await cutAtRandom(t, recording, { images: 60, starts: 2 });
  t.diagnostic(JSON.stringify(account));
  assert.ok(account.withMarks > 20);
});
