import { test } from 'node:test';
import { throughForwarder, throughQueue } from './support/backlog.ts';

test('30,000 rows: depth and oldest age are right while they come, over a restart, and while they go, in order', async (t) => {
  t.diagnostic(JSON.stringify(await throughQueue(t, 30_000)));
});

test('a backlog that a forwarder finds at its start is shipped whole; its status is right all the while', async (t) => {
  t.diagnostic(JSON.stringify(await throughForwarder(t, 4000)));
});
