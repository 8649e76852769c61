import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PutRecordsCommand } from '@aws-sdk/client-kinesis';
import { verifyStream } from '../../cloud/verify/verify.ts';
import { cannotRun } from '../support/cannot-run.ts';
import { startLocalStream } from '../support/local-stream.ts';
import { duckPython } from './support/athena.ts';
import { assertReport, NOTHING_PLANTED, proveDay } from './support/prove-day.ts';

/** 15 minutes of 20 straps. */
const QUARTER = { straps: 20, steps: 90, secondsPerStep: 10, maxBytes: 2 * 1024 * 1024 };

test('a quarter of an hour of 20 straps with planted losses: verify and the SQL name each exactly, from stream and files', async (t) => {
  const python = await duckPython();
  const { client } = await startLocalStream(t, { LOCAL_KINESIS_LIMITS: 'false' });
  const { expected } = await proveDay(
    t,
    {
      ...QUARTER,
      outages: [[15, 60]],
      kills: [6, 65],
      restarts: [10, 70],
      refusals: [8, 64, 75],
      malformed: [7, 30],
      drops: [9, 35],
      retries: [80],
      losses: [11, 63],
    },
    python,
    async (records) => {
      for (let index = 0; index < records.length; index += 500)
        await client.send(
          new PutRecordsCommand({
            StreamName: 'hr-data-stream',
            Records: records
              .slice(index, index + 500)
              .map(({ device, line }) => ({ PartitionKey: device, Data: Buffer.from(`${line}\n`) })),
          }),
        );
    },
  );
  assert.deepEqual(
    [...new Set(expected.flatMap(({ lost }) => lost.map(({ why }) => why)))].sort(),
    ['WITHOUT CAUSE', 'dead: invalid', 'evicted: queue_full', 'missed: outbox_full'],
    'everything that was planted is there; the refused readings were retried',
  );
  assertReport(await verifyStream(client), expected);
  if (python === undefined) cannotRun(t, 'no Python with DuckDB');
});

test('with nothing planted every run is complete, and accounts take less than 1 % of the bytes', async (t) => {
  for (const straps of [20, 1]) {
    const { expected, bytes, accountBytes } = await proveDay(
      t,
      { ...QUARTER, ...NOTHING_PLANTED, straps, restarts: [45] },
      undefined,
    );
    assert.ok(
      expected.every(({ lost, copies }) => lost.length === 0 && copies === 0),
      'nothing was planted',
    );
    t.diagnostic(`${straps} straps: accounts are ${((100 * accountBytes) / bytes).toFixed(3)} % of ${bytes} bytes`);
    assert.ok(accountBytes > 0 && accountBytes < bytes / 100, `${accountBytes} of ${bytes} bytes`);
  }
});
