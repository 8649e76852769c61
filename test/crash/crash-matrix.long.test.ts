import { test } from 'node:test';
import { crashMatrix } from './support/crash-matrix.ts';

const seedFor = (): number => Number(process.env['CRASH_SEED'] ?? Date.now() % 1_000_000);

test('200 kills of gateway, forwarder, admin API and stream: every reading taken is in the stream, the ledger balances, none is seen late', async (t) => {
  const account = await crashMatrix(t, { seed: seedFor(), kills: 200, victims: ['gateway', 'forwarder', 'forwarder', 'admin-api', 'local-kinesis'] });
  t.diagnostic(JSON.stringify(account));
});

test('60 kills, the bridge among them: what was stored or spilled is in the stream, the ledger balances', async (t) => {
  const account = await crashMatrix(t, { seed: seedFor() + 1, kills: 60, victims: ['ble-bridge', 'ble-bridge', 'gateway', 'forwarder', 'local-kinesis'] });
  t.diagnostic(JSON.stringify(account));
});
