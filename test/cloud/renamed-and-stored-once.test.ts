import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { bundleConsumer } from '../../cloud/consumer/bundle.ts';
import { cannotRun } from '../support/cannot-run.ts';
import { tempDir } from '../support/temp-dir.ts';
import { deploy, UPLOAD } from './support/deployment.ts';
import { lambdaRecord, sequenceNumberAt } from './support/lambda.ts';
import { cloudPython, startMoto } from './support/moto.ts';
import { readingLine } from './support/readings.ts';

const run = promisify(execFile);
const at = (file: string): string => fileURLToPath(new URL(file, import.meta.url));

async function moto(t: TestContext): Promise<{ python: string; endpoint: string } | undefined> {
  const python = await cloudPython();
  if (python !== undefined) return { python, endpoint: await startMoto(t, python) };
  cannotRun(t, 'no Python with moto and cfn-lint');
  return undefined;
}

const RUN = '3f9a1c2e00b7d415';
const SCAN = `
import boto3, json, sys
db = boto3.resource('dynamodb', endpoint_url=sys.argv[1], region_name='ap-south-1', aws_access_key_id='test', aws_secret_access_key='test')
items = db.Table(sys.argv[2]).scan(ConsistentRead=True)['Items']
print(json.dumps(sorted(f"{item['run']} {item['seq']} {item['heart_rate']}" for item in items)))
`;

test('after a rename the box may write to both streams, and both are delivered; the address is subscribed to the alarms', async (t) => {
  const cloud = await moto(t);
  if (cloud === undefined) return;
  const { python, endpoint } = cloud;
  const renamed = await deploy(python, endpoint, 'us-west-2', {
    StreamName: 'new-name',
    PreviousStreamName: 'hr-data-stream',
    AlarmEmail: 'nurse@example.org',
  });
  assert.deepEqual(renamed.gatewayPolicy.Statement[0]?.Resource, [
    renamed.outputs['StreamArn'],
    (renamed.outputs['StreamArn'] ?? '').replace('/new-name', '/hr-data-stream'),
  ]);
  assert.deepEqual(renamed.deliveries, ['hr-data-stream-renamed-to-s3', 'new-name-to-s3']);
  const [subscription] = renamed.subscriptions;
  assert.deepEqual([subscription?.Protocol, subscription?.Endpoint], ['email', 'nurse@example.org']);
  assert.ok(
    renamed.alarms.every(({ AlarmActions }) => AlarmActions[0] === subscription?.TopicArn && AlarmActions.length === 1),
    'every alarm goes to the topic of that address',
  );
});

test('store-once.ts stores each reading once in the table, however often Lambda delivers it', async (t) => {
  const cloud = await moto(t);
  if (cloud === undefined) return;
  const { python, endpoint } = cloud;
  const { zip } = await bundleConsumer(tempDir(t));
  const code = { ConsumerCodeBucket: 'code', ConsumerCodeKey: path.basename(zip) };
  await run(python, ['-c', UPLOAD, endpoint, zip, code.ConsumerCodeKey]);
  const deployed = await deploy(python, endpoint, 'ap-south-1', { ...code, ConsumerTable: 'true', DeliverToS3: 'false' });
  assert.equal(deployed.variables?.['TABLE_NAME'], deployed.outputs['TableName']);
  const own = at('../../cloud/consumer/store-once.ts');
  const { file } = await bundleConsumer(path.join(tempDir(t), 'once'), { onReading: own });
  const old = Buffer.from('{"timestamp":"2026-11-22T19:00:00.123Z","heart_rate":72}');
  const numbered = (seq: number, gateway: string): Buffer => Buffer.from(JSON.stringify(readingLine(RUN, seq, { gateway })));
  const records = [
    ...[1, 2, 3].map((seq) => numbered(seq, 'front-desk')),
    numbered(1, 'back-door'),
    // Two people at one instant.
    old,
    old,
  ].map((data, index) => lambdaRecord(index, 'd', data));
  const script = [
    `import { handler } from ${JSON.stringify(pathToFileURL(file).href)};`,
    `const records = ${JSON.stringify(records)};`,
    'const deliveries = [records, records.slice(2), [records[0]], [...records, ...records]];',
    'const answers = await Promise.all(deliveries.map((Records) => handler({ Records })));',
    'console.log(JSON.stringify(answers));',
  ].join('\n');
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script], {
    env: {
      PATH: process.env['PATH'],
      AWS_ENDPOINT_URL_DYNAMODB: endpoint,
      AWS_REGION: 'ap-south-1',
      AWS_ACCESS_KEY_ID: 'test',
      AWS_SECRET_ACCESS_KEY: 'test',
      TABLE_NAME: deployed.outputs['TableName'],
    },
  });
  assert.deepEqual(
    JSON.parse(stdout),
    [1, 2, 3, 4].map(() => ({ batchItemFailures: [] })),
  );
  const items = JSON.parse((await run(python, ['-c', SCAN, endpoint, deployed.outputs['TableName'] ?? ''])).stdout) as string[];
  assert.deepEqual(items, [
    `back-door#${RUN} 1 61`,
    `front-desk#${RUN} 1 61`,
    `front-desk#${RUN} 2 62`,
    `front-desk#${RUN} 3 63`,
    `shardId-000000000006#${sequenceNumberAt(4)} 0 72`,
    `shardId-000000000006#${sequenceNumberAt(5)} 0 72`,
  ]);
});
