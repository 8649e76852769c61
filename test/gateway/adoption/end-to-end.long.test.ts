import { test } from 'node:test';
import { runKills } from '../support/kills.ts';

test('what was acknowledged is in the stream after 100 kills of gateway and forwarder', { timeout: 1_800_000 }, async (t) => {
  await runKills(t, { kills: 100, seed: 7 });
});
