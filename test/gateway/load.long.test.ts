import { test } from 'node:test';
import { runLoad } from './support/load.ts';

test('five minutes of 50 straps and 500 subscribers of all of them, beside frozen, flooding and storming clients, lose nothing to who behaves', async (t) => {
  await runLoad(t, { seconds: 300, subscribers: 500, straps: 50, strapsEach: 50 });
});
