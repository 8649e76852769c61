import { test } from 'node:test';
import { cannotRun } from '../../support/cannot-run.ts';
import { canTrace } from '../../support/disk-trace.ts';
import { cutAtRandom } from './support/power-cut-laws.ts';
import { recordForwarder } from './support/recorded-forwarder.ts';
import { cutSpill, recordSpill } from './support/recorded-spill.ts';

for (const round of [1, 2])
  test(`500 power failures of a forwarder after many checkpoints, recording ${round}: no published watermark is broken`, async (t) => {
    if (!canTrace()) return cannotRun(t, 'no strace, or it may not trace here');
    t.diagnostic(JSON.stringify(await cutAtRandom(t, await recordForwarder(t, 1500), { images: 500, starts: 5 })));
  });

for (const round of [1, 2])
  test(`500 power failures of an outbox on disk, recording ${round}: everything synced is found`, async (t) => {
    if (!canTrace()) return cannotRun(t, 'no strace, or it may not trace here');
    t.diagnostic(JSON.stringify(await cutSpill(t, await recordSpill(t, 2000), { images: 500 })));
  });
