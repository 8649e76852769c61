import { test } from 'node:test';
import { startWithLargeOutbox } from './support/large-outbox.ts';

test('an outbox of 24 MiB on disk is found and delivered in small pieces', async (t) => {
  await startWithLargeOutbox(t, 6);
});
