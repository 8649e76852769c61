import assert from 'node:assert/strict';
import { test } from 'node:test';
import { crashMatrix } from './support/crash-matrix.ts';

const seedFor = (): number => Number(process.env['CRASH_SEED'] ?? Date.now() % 1_000_000);

test('after 200 kills of gateway, forwarder, admin API and stream every accepted reading is in the stream, none was late', async (t) => {
  const account = await crashMatrix(t, {
    seed: seedFor(),
    kills: 200,
    victims: ['gateway', 'forwarder', 'forwarder', 'admin-api', 'local-kinesis'],
  });
  t.diagnostic(JSON.stringify(account));
});

test('after 60 kills, bridges included, and outages of up to 9 s everything stored or spilled is in the stream', async (t) => {
  const account = await crashMatrix(t, {
    seed: seedFor() + 1,
    kills: 60,
    victims: ['ble-bridge', 'gateway', 'forwarder', 'forwarder', 'local-kinesis'],
    pauseMs: 5000,
    awayMs: 9000,
  });
  t.diagnostic(JSON.stringify(account));
  assert.ok(account.spilled > 0, 'bridges were killed while they had readings on disk');
});
