import { test } from 'node:test';
import { cannotRun } from '../../support/cannot-run.ts';
import { canTrace } from '../../support/disk-trace.ts';
import { cutSpill, recordSpill } from './support/recorded-spill.ts';

test('whenever power fails, exactly the readings that were synced to the outbox on disk and not evicted since survive', async (t) => {
  if (!canTrace()) return cannotRun(t, 'no strace, or it may not trace here');
  const account = await cutSpill(t, await recordSpill(t, 600), { images: 60 });
  t.diagnostic(JSON.stringify(account));
});
