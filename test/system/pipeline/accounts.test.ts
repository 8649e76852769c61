import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { connectAsync } from 'mqtt';
import { readStream } from '../../../cloud/reader/read-stream.ts';
import { verifyStream } from '../../../cloud/verify/verify.ts';
import { checkStreamAccount } from '../../../contract/stream-account.ts';
import { gapTopic } from '../../../contract/topics.ts';
import { eventually } from '../../support/eventually.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { getJson, startOneProcess, type QueueAnswer } from './support/one-process.ts';
import { clientOf } from './support/stream.ts';

test('a running box reports its earlier run in the stream, aggregated too, and gaps of a strap travel with its next reading', async (t) => {
  const dataDir = tempDir(t);
  const environment = { GATEWAY_NAME: 'test-box', BLE_SOURCE: 'simulated', SIMULATED_STRAPS: '3', KINESIS_MODE: 'aggregated' };
  const shipped = async (admin: string, more: number): Promise<void> => {
    await eventually(async () => (await getJson<QueueAnswer>(`${admin}/queue`)).ledger.shipped >= more, { withinMs: 60_000 });
  };
  const first = startOneProcess(t, dataDir, environment);
  await shipped((await first.addresses()).admin, 10);
  assert.equal(await first.end(), 0);

  const second = startOneProcess(t, dataDir, environment);
  const { admin, mqttPort, stream } = await second.addresses();
  const bridge = await connectAsync(`mqtt://127.0.0.1:${mqttPort}`, {
    username: 'ble-bridge',
    password: readFileSync(path.join(dataDir, 'keys/ble-bridge'), 'utf8').trim(),
    clientId: 'gaps-of-a-test',
  });
  t.after(async () => await bridge.endAsync(true));
  const devices = await getJson<{ device: string }[]>(`${admin}/devices`);
  const device = devices[0]?.device ?? '';
  const gap = { from: '2026-11-30T00:00:00.000Z', to: '2026-11-30T00:01:00.000Z', cause: 'out_of_range' };
  await bridge.publishAsync(gapTopic(device), JSON.stringify(gap));
  const { ledger } = await getJson<QueueAnswer>(`${admin}/queue`);
  await shipped(admin, ledger.accepted + 15);
  const client = clientOf(stream);
  t.after(() => client.destroy());

  const report = await verifyStream(client);
  assert.equal(report.runs.length, 2);
  assert.ok(report.ok, report.runs.map(({ verdict }) => verdict).join('\n'));
  assert.equal(report.invalid_accounts, 0);
  assert.deepEqual(
    report.gaps.filter(({ cause }) => cause === 'out_of_range'),
    [{ gateway: 'test-box', device, cause: 'out_of_range', count: 1, seconds: 60 }],
  );
  const accounts: unknown[] = [];
  const runs = new Map<string, number>();
  for await (const { reading } of readStream(client, { from: 'oldest', untilCaughtUp: true })) {
    if (reading?.run !== undefined) runs.set(reading.run, Math.max(runs.get(reading.run) ?? 0, reading.seq ?? 0));
    if (reading?.account !== undefined) accounts.push(reading.account);
  }
  const [account] = accounts.map(checkStreamAccount);
  assert.ok(account?.ok === true, 'a reading carries an account');
  const [firstRun] = [...runs.keys()];
  assert.deepEqual([account.value.run, account.value.from, account.value.to], [firstRun, 1, runs.get(firstRun ?? '')]);
  assert.equal(await second.end(), 0);
});
