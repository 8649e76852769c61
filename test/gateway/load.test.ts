import { test } from 'node:test';
import { runLoad } from './support/load.ts';

test('beside frozen and flooding clients, 50 straps and 500 subscribers of ten straps each lose no message in half a minute', async (t) => {
  await runLoad(t, { seconds: 32, subscribers: 500, straps: 50, strapsEach: 10 });
});
