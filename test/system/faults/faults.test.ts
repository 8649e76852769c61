import { test } from 'node:test';
import { faultSuite } from './support/fault-suite.ts';
import { TARGETS } from './support/targets.ts';

test('a sample of failing file operations loses nothing that was stored or spilled, and recovers unaided', async (t) => {
  const { bridge, adoption, queue, stream } = TARGETS;
  await faultSuite(t, [
    { target: bridge, fault: { call: 'write', kind: 'EIO', duration: '8 s', moment: 'work' } },
    { target: adoption, fault: { call: 'read', kind: 'EIO', duration: 'once', moment: 'drain' } },
    { target: queue, fault: { call: 'sync', kind: 'EIO', duration: 'once', moment: 'work' } },
    { target: stream, fault: { call: 'write', kind: 'ENOSPC', duration: 'once', moment: 'work' } },
  ]);
});
