import { test } from 'node:test';
import { throughForwarder, throughQueue } from './support/backlog.ts';

test('30,000 rows are taken in order, with correct depth and oldest age while filling, after a restart and while draining', async (t) => {
  t.diagnostic(JSON.stringify(await throughQueue(t, 30_000)));
});

test('a backlog found at the start is shipped completely, with a correct status throughout', async (t) => {
  t.diagnostic(JSON.stringify(await throughForwarder(t, 4000)));
});
