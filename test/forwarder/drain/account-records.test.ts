import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readStream } from '../../../cloud/reader/read-stream.ts';
import { contentsOfRecord } from '../../../cloud/consumer/readings-of-record.ts';
import { verifyStream } from '../../../cloud/verify/verify.ts';
import type { AccountRecord } from '../../../contract/stream-account.ts';
import { AccountRecords } from '../../../forwarder/drain/account-records.ts';
import { KinesisSink } from '../../../forwarder/sink/kinesis-sink.ts';
import { eventually } from '../../support/eventually.ts';
import { testConfig, testLog } from '../../support/test-config.ts';
import { appendOf, RUN } from '../queue/support/queue-files.ts';
import { sharedStream } from '../../support/local-stream.ts';
import { startDrain } from './support/drain-bench.ts';

const stream = sharedStream();

test('records of accounts reach the stream, are sent again until they are stored, and consumers of readings skip them', async (t) => {
  const environment = { KINESIS_ACCOUNTS: 'records', GATEWAY_NAME: 'test-box' };
  const bench = await startDrain(t, await stream(), { environment });
  const config = testConfig({
    ...environment,
    DATA_DIR: '/nowhere',
    LOCAL_KINESIS_PORT: String(bench.stream.port),
    KINESIS_STREAM: bench.streamName,
  });
  const log = testLog(config);
  const sink = new KinesisSink(config, log);
  t.after(() => sink.close());
  bench.queue.append({ ...appendOf(1, 20), numbered: [{ gateway: 'test-box', run: RUN, first: 1, count: 20 }] });
  await bench.settled(20);
  await bench.queue.addGap('strap-1', { from: '2026-11-30T00:00:00.000Z', to: '2026-11-30T00:01:00.000Z', cause: 'no_pulse' });

  const accounts = new AccountRecords({ config, log, sink, queue: bench.queue, isUplinkOk: () => true, everyMs: 50 });
  const recordsIn = async (): Promise<AccountRecord[]> => {
    const found: AccountRecord[] = [];
    for await (const { reading, data, partitionKey } of readStream(bench.stream.client, {
      stream: bench.streamName,
      from: 'oldest',
      untilCaughtUp: true,
      pollMs: 5,
    })) {
      const record = JSON.parse(data.toString()) as AccountRecord;
      if (reading !== undefined) continue;
      assert.deepEqual(contentsOfRecord(partitionKey, data).readings, [], 'the Lambda consumer skips it');
      found.push(record);
    }
    return found;
  };
  await bench.faults({ throttleRate: 1 });
  accounts.start();
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.deepEqual(await recordsIn(), []);
  await bench.faults({});
  await eventually(async () => (await recordsIn()).some((record) => record.account === undefined && record.gaps === undefined), {
    what: 'a heartbeat',
  });
  await accounts.stop();
  const records = await recordsIn();
  const { account } = records.find((record) => record.account !== undefined) ?? {};
  assert.deepEqual([account?.run, account?.from, account?.to, account?.except], [RUN, 1, 20, []]);
  assert.equal(records.filter((record) => record.account !== undefined).length, 1, 'reported once');
  assert.equal(records.find((record) => record.gaps !== undefined)?.device, 'strap-1');
  const report = await verifyStream(bench.stream.client, { stream: bench.streamName });
  assert.deepEqual([report.ok, report.foreign, report.runs[0]?.verdict], [true, 0, 'complete from 1 to 20; not yet closed']);
  assert.equal(report.gaps[0]?.cause, 'no_pulse');
});
