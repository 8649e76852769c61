import { test } from 'node:test';
import { largeOutboxStarts } from './support/large-outbox.ts';

test('an outbox of 256 MiB on disk is found and delivered without blocking the event loop', async (t) => {
  await largeOutboxStarts(t, 64, 3);
});
