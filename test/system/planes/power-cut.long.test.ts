import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { cannotRun } from '../../support/cannot-run.ts';
import { canTrace } from '../../support/disk-trace.ts';
import { cutUnderPublishers, recordPublishers } from './support/recorded-publishers.ts';

test('500 power failures: what a QoS 1 publisher had got a PUBACK for is in the queue', async (t) => {
  if (!canTrace()) return cannotRun(t, 'no strace, or it may not trace here');
  const account = cutUnderPublishers(t, await recordPublishers(t, 3000), 500, randomInt(1_000_000));
  t.diagnostic(JSON.stringify(account));
  assert.ok(account.askedFor > 100 * account.images, 'readings were acknowledged before the cuts');
});
