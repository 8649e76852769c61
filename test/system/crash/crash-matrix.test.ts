import { test } from 'node:test';
import { crashMatrix } from './support/crash-matrix.ts';

const seedFor = (): number => Number(process.env['CRASH_SEED'] ?? Date.now() % 1_000_000);

test('gateway, forwarder, admin API and stream killed at random instants: every reading taken is in the stream, the ledger balances, none is seen late', async (t) => {
  const account = await crashMatrix(t, {
    seed: seedFor(),
    kills: 10,
    victims: ['gateway', 'forwarder', 'admin-api', 'local-kinesis'],
  });
  t.diagnostic(JSON.stringify(account));
});
