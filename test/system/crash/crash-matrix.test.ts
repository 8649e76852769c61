import { test } from 'node:test';
import { crashMatrix } from './support/crash-matrix.ts';

const seedFor = (): number => Number(process.env['CRASH_SEED'] ?? Date.now() % 1_000_000);

test('after random kills of gateway, forwarder, admin API and stream every accepted reading is in the stream, none was late', async (t) => {
  const account = await crashMatrix(t, {
    seed: seedFor(),
    kills: 10,
    victims: ['gateway', 'forwarder', 'admin-api', 'local-kinesis'],
  });
  t.diagnostic(JSON.stringify(account));
});
