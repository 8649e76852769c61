import { test } from 'node:test';
import { chaos } from './support/chaos.ts';

for (let seed = 11; seed <= 20; seed += 1)
  test(`60 s of mixed disturbances lose nothing that is not counted, seed ${seed}`, async (t) => {
    const account = await chaos(t, { seed, seconds: 60 });
    if (account !== undefined) t.diagnostic(JSON.stringify(account));
  });
