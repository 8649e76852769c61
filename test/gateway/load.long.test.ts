import { test } from 'node:test';
import { runLoad } from './support/load.ts';

test('beside frozen and flooding clients, 50 straps and 500 subscribers of all of them lose no message in five minutes', async (t) => {
  await runLoad(t, { seconds: 300, subscribers: 500, straps: 50, strapsEach: 50 });
});
