import { test } from 'node:test';
import { keySuite } from './support/key-faults.ts';

test('a key that cannot be written whole is never used, and a start says why it failed', async (t) => {
  await keySuite(t, [
    { call: 'write', kind: 'short', duration: 'for ever', isFirstStart: true },
    { call: 'sync', kind: 'EIO', duration: 'once', isFirstStart: true },
    { call: 'stat', kind: 'EIO', duration: 'for ever', isFirstStart: true },
    { call: 'read', kind: 'EIO', duration: 'once', isFirstStart: false },
  ]);
});
