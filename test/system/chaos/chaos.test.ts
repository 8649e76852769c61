import { test } from 'node:test';
import { chaos } from './support/chaos.ts';

test('20 s of mixed disturbances lose nothing that is not counted', async (t) => {
  const account = await chaos(t, { seed: 4, seconds: 20 });
  if (account !== undefined) t.diagnostic(JSON.stringify(account));
});
