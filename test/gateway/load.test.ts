import { test } from 'node:test';
import { runLoad } from './support/load.ts';

test('one minute of 50 straps and 500 subscribers of ten straps each, beside frozen, flooding and storming clients, loses nothing to who behaves', async (t) => {
  await runLoad(t, { seconds: 60, subscribers: 500, straps: 50, strapsEach: 10 });
});
