/** Clients and consumers that are not ours, on the local stream. The KCL: kcl.long.test.ts. */
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { PutRecordCommand, PutRecordsCommand } from '@aws-sdk/client-kinesis';
import { aggregate } from '../../forwarder/drain/aggregation.ts';
import { requests } from '../../local-kinesis/wire/requests.ts';
import { cannotRun } from '../support/cannot-run.ts';
import { startLocalStream } from '../support/local-stream.ts';
import { madeOnce } from '../support/made-once.ts';
import { pythonWith } from '../support/python-venv.ts';
import { tempDir } from '../support/temp-dir.ts';
import { javaConsumers } from './support/java-consumers.ts';

const run = promisify(execFile);
const consumers = fileURLToPath(new URL('consumers', import.meta.url));
const cache = fileURLToPath(new URL('../../.cache/go', import.meta.url));

test("AWS' SDK for Java works with its defaults: CBOR, and HTTP/2 in the asynchronous client", async (t) => {
  const classPath = await javaConsumers();
  if (classPath === undefined) return cannotRun(t, 'Java, Maven or its registry is missing');
  const { endpoint } = await startLocalStream(t, { LOCAL_KINESIS_LIMITS: 'false' });
  const { stdout } = await run('java', ['-cp', classPath, 'consumers.SdkDefaults', endpoint]);
  assert.match(stdout, /\ndone\n$/);
});

test("AWS' SDK for Go works with its defaults", async (t) => {
  if (spawnSync('go', ['version']).status !== 0) return cannotRun(t, 'Go is not installed');
  const source = path.join(consumers, 'go');
  const digest = createHash('sha256').update(readFileSync(path.join(source, 'main.go')));
  const folder = path.join(
    cache,
    digest
      .update(readFileSync(path.join(source, 'go.sum')))
      .digest('hex')
      .slice(0, 12),
  );
  const program = path.join(folder, 'kinesis-operations');
  const isMade = await madeOnce(folder, 'the Go consumer (Go module proxy)', async () => {
    mkdirSync(folder);
    await run('go', ['build', '-o', program, '.'], { cwd: source });
  });
  if (!isMade) return cannotRun(t, 'the Go module proxy has no AWS SDK, or is missing');
  const { endpoint } = await startLocalStream(t, { LOCAL_KINESIS_LIMITS: 'false' });
  const { stdout } = await run(program, [endpoint]);
  assert.match(stdout, /\ndone\n$/);
});

test('awscli works on each operation that is supported, and is told of each other that it is not', async (t) => {
  const python = await pythonWith('awscli', ['awscli==1.46.2']);
  if (python === undefined) return cannotRun(t, 'no Python with awscli');
  const { endpoint } = await startLocalStream(t, { LOCAL_KINESIS_LIMITS: 'false' });
  const home = tempDir(t);
  // The CLI would refuse a request that lacks a member; the stream shall.
  writeFileSync(path.join(home, 'config'), '[default]\nparameter_validation = false\n');
  const env = {
    PATH: process.env['PATH'],
    AWS_ACCESS_KEY_ID: 'test',
    AWS_SECRET_ACCESS_KEY: 'test',
    AWS_DEFAULT_REGION: 'us-east-1',
    HOME: home,
    AWS_CONFIG_FILE: path.join(home, 'config'),
  };
  const done = new Set<string>();
  const aws = async (operation: string, ...args: string[]): Promise<Record<string, unknown>> => {
    done.add(operation);
    const words = ['-m', 'awscli', '--endpoint-url', endpoint, '--output', 'json', 'kinesis', operation, ...args];
    const { stdout } = await run(python, words, { env });
    const answer: unknown = JSON.parse(stdout === '' ? '{}' : stdout);
    assert.ok(typeof answer === 'object' && answer !== null, operation);
    return answer as Record<string, unknown>;
  };
  const named = ['--stream-name', 'cli'];
  const shard = 'shardId-000000000000';
  await aws('create-stream', ...named, '--shard-count', '2');
  assert.deepEqual((await aws('list-streams'))['StreamNames'], ['cli', 'hr-data-stream']);
  const { StreamDescriptionSummary } = await aws('describe-stream-summary', ...named);
  const arn = String((StreamDescriptionSummary as { StreamARN: string }).StreamARN);
  await aws('describe-stream', '--stream-arn', arn);
  await aws('put-record', ...named, '--partition-key', 'a', '--data', 'a', '--explicit-hash-key', '0');
  await aws('put-records', ...named, '--records', 'Data=b,PartitionKey=b', 'Data=c,PartitionKey=c');
  const at = ['--shard-iterator-type', 'AT_TIMESTAMP', '--timestamp', '2020-01-01T00:00:00Z'];
  const { ShardIterator } = await aws('get-shard-iterator', ...named, '--shard-id', shard, ...at);
  const { Records } = await aws('get-records', '--shard-iterator', String(ShardIterator));
  assert.equal((Records as { Data: string }[])[0]?.Data, 'YQ==');
  await aws('split-shard', ...named, '--shard-to-split', shard, '--new-starting-hash-key', '1000');
  await aws(
    'merge-shards',
    ...named,
    '--shard-to-merge',
    'shardId-000000000002',
    '--adjacent-shard-to-merge',
    'shardId-000000000003',
  );
  await aws('update-shard-count', ...named, '--target-shard-count', '3', '--scaling-type', 'UNIFORM_SCALING');
  for (const filter of ['Type=AT_LATEST', 'Type=AT_TIMESTAMP,Timestamp=2020-01-01', `Type=AFTER_SHARD_ID,ShardId=${shard}`])
    assert.ok(((await aws('list-shards', ...named, '--shard-filter', filter))['Shards'] as object[]).length > 1, filter);
  await aws('increase-stream-retention-period', ...named, '--retention-period-hours', '48');
  await aws('decrease-stream-retention-period', ...named, '--retention-period-hours', '24');
  await aws('update-max-record-size', '--stream-arn', arn, '--max-record-size-in-ki-b', '2048');
  await assert.rejects(
    aws('create-stream', '--stream-name', 'd', '--stream-mode-details', 'StreamMode=ON_DEMAND'),
    /InvalidArgumentException/,
  );
  await aws('delete-stream', ...named);
  const supported = Object.keys(requests);
  assert.deepEqual(
    [...done].sort(),
    supported.map((name) => name.replaceAll(/(?<=[a-z])[A-Z]/g, (letter) => `-${letter}`).toLowerCase()).sort(),
    'the CLI was used on each operation that is supported',
  );
  const refusals = [path.join(consumers, 'python/awscli_refusals.py'), endpoint, arn, ...supported];
  const { stdout } = await run(python, refusals, { env });
  const [, refused = '0'] = /\n(\d+) operations are refused\n$/.exec(stdout) ?? [];
  assert.ok(Number(refused) > 15, stdout);
});

test("Powertools' batch processors and aws_kinesis_agg process our records, plain and aggregated", async (t) => {
  const python = await pythonWith('lambda-consumers', [
    'aws-lambda-powertools==3.37.0',
    'boto3==1.44.8',
    'aws_kinesis_agg==1.2.3',
    'protobuf==3.20.3',
  ]);
  if (python === undefined) return cannotRun(t, 'no Python with Powertools');
  const { endpoint, client } = await startLocalStream(t);
  const StreamName = 'hr-data-stream';
  const reading = (seq: number): Buffer =>
    Buffer.from(`${JSON.stringify({ timestamp: '2026-11-30T10:00:00.000Z', heart_rate: seq === 7 ? 201 : 70, seq })}\n`);
  const seqs = Array.from({ length: 20 }, (_, index) => index + 1);
  const { Records = [] } = await client.send(
    new PutRecordsCommand({ StreamName, Records: seqs.map((seq) => ({ PartitionKey: 'strap', Data: reading(seq) })) }),
  );
  await client.send(new PutRecordCommand({ StreamName, PartitionKey: 'strap', Data: aggregate('strap', seqs.map(reading)) }));
  const { stdout } = await run(python, [path.join(consumers, 'python/lambda_consumers.py'), endpoint, StreamName]);
  const failures = { batchItemFailures: [{ itemIdentifier: Records[6]?.SequenceNumber }] };
  assert.deepEqual(JSON.parse(stdout), {
    processed: seqs.filter((seq) => seq !== 7),
    processedAsync: seqs.filter((seq) => seq !== 7),
    reported: failures,
    reportedAsync: failures,
    typed: seqs,
    aggregated: seqs,
  });
});
