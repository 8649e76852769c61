import { test } from 'node:test';
import { assertLittleInVain } from './support/shared-shard.ts';

for (const boxes of [10, 20])
  test(`${boxes} forwarders that share one shard send at most 1.2 times what it takes, their start included`, async (t) => {
    await assertLittleInVain(t, boxes, 30_000);
  });
