import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { PutRecordsCommand } from '@aws-sdk/client-kinesis';
import type { VerifyReport } from '../../cloud/verify/verify.ts';
import { readingLine } from '../cloud/support/readings.ts';
import { startLocalStream } from '../support/local-stream.ts';
import { tempDir } from '../support/temp-dir.ts';
import { runCli } from './support/run-cli.ts';

const RUN = '3f9a1c2e00b7d415';
const NEXT = 'aaaaaaaaaaaaaaaa';

test('verify ends with 0 if all is explained, 1 if a reading is missing without cause, 2 if a run is open and must not be', async (t) => {
  const folder = tempDir(t);
  const file = path.join(folder, 'readings.json');
  const write = (...records: object[]): void =>
    writeFileSync(file, records.map((record) => `${JSON.stringify(record)}\n`).join(''));
  const final = readingLine(NEXT, 1, {
    account: {
      run: RUN,
      from: 1,
      to: 3,
      except: [{ from: 2, to: 2, outcome: 'evicted', cause: 'queue_full' }],
      at: 1,
      final: true,
    },
  });

  write(readingLine(RUN, 1), readingLine(RUN, 3), final);
  const explained = await runCli(['verify', folder]);
  assert.equal(explained.code, 0, explained.stderr);
  assert.match(explained.stdout, /3f9a1c2e00b7d415 {2}missing 1 of 3: 2 \(evicted: queue_full\)\n/);
  assert.equal((await runCli(['verify', folder, '--require-closed'])).code, 2);

  write(readingLine(RUN, 1), final);
  const missing = await runCli(['verify', '--json', '--require-closed', folder]);
  assert.equal(missing.code, 1);
  const report = JSON.parse(missing.stdout) as VerifyReport;
  assert.equal(report.ok, false);
  assert.deepEqual(
    report.runs.map(({ run, unexplained }) => [run, unexplained]),
    [
      [RUN, [{ from: 3, to: 3 }]],
      [NEXT, []],
    ],
  );

  mkdirSync(path.join(folder, 'empty'));
  const nothing = await runCli(['verify', path.join(folder, 'empty')]);
  assert.deepEqual([nothing.code, nothing.stdout], [1, '']);
  assert.match(nothing.stderr, /nothing is proved/);
  assert.equal((await runCli(['verify', path.join(folder, 'nowhere/else')])).code, 1);
});

test('verify reads a stream by its name', async (t) => {
  const { client, port } = await startLocalStream(t);
  const records = [1, 2, 4].map((seq) => readingLine(RUN, seq));
  const Records = records.map((record) => ({ PartitionKey: 'd', Data: Buffer.from(`${JSON.stringify(record)}\n`) }));
  await client.send(new PutRecordsCommand({ StreamName: 'hr-data-stream', Records }));
  const { code, stdout } = await runCli(['verify', 'hr-data-stream'], { environment: { LOCAL_KINESIS_PORT: String(port) } });
  assert.equal(code, 1);
  assert.match(stdout, /MISSING WITHOUT CAUSE 1 of 4: 3/);
});
