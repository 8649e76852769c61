import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test, type TestContext } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import {
  DeleteStreamCommand,
  DescribeStreamSummaryCommand,
  GetShardIteratorCommand,
  KinesisClient,
  ListShardsCommand,
  PutRecordCommand,
} from '@aws-sdk/client-kinesis';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { bundleConsumer } from '../../cloud/consumer/bundle.ts';
import { readStream, type StreamRecord } from '../../cloud/reader/read-stream.ts';
import { getJson, startOneProcess, type QueueAnswer } from '../system/pipeline/support/one-process.ts';
import { clientOf } from '../system/pipeline/support/stream.ts';
import { cannotRun } from '../support/cannot-run.ts';
import { eventually } from '../support/eventually.ts';
import { tempDir } from '../support/temp-dir.ts';
import { deploy, TEMPLATE, UPLOAD } from './support/deployment.ts';
import { lambdaRecord, type Handler } from './support/lambda.ts';
import { checkRights, cloudPython, startMoto } from './support/moto.ts';

const run = promisify(execFile);
const at = (file: string): string => fileURLToPath(new URL(file, import.meta.url));
const StreamName = 'hr-data-stream';
const READINGS = 30;

const withoutPython = (t: TestContext): void => cannotRun(t, 'no Python with moto and cfn-lint');

describe('the template', () => {
  test('cfn-lint reports nothing, not even a remark', async (t) => {
    const python = await cloudPython();
    if (python === undefined) return withoutPython(t);
    const { stdout } = await run(path.join(path.dirname(python), 'cfn-lint'), [
      '--include-checks',
      'I',
      '--non-zero-exit-code',
      'informational',
      '--regions',
      'us-east-1',
      'eu-west-1',
      'eu-central-1',
      '--',
      TEMPLATE,
    ]);
    assert.equal(stdout.trim(), '');
  });

  test('enhanced fan-out is off by default; switched on, the consumer reads by it', async (t) => {
    const python = await cloudPython();
    if (python === undefined) return withoutPython(t);
    const plan = async (...parameters: string[]): Promise<{ resources: string[]; source: unknown }> =>
      JSON.parse(
        (await run(python, [at('support/deploy_template.py'), 'plan', 'us-east-1', TEMPLATE, ...parameters])).stdout,
      ) as { resources: string[]; source: unknown };
    const [plain, pushed, without] = await Promise.all([
      plan('ConsumerCodeBucket=code'),
      plan('ConsumerCodeBucket=code', 'EnhancedFanOut=true'),
      plan('EnhancedFanOut=true'),
    ]);
    assert.deepEqual(plain.source, { 'Fn::GetAtt': ['Stream', 'Arn'] });
    assert.deepEqual(pushed.source, { 'Fn::GetAtt': ['FanOut', 'ConsumerARN'] });
    assert.deepEqual(
      pushed.resources.filter((name) => !plain.resources.includes(name)),
      ['FanOut'],
    );
    assert.ok(!without.resources.includes('FanOut') && !without.resources.includes('Consumer'));
  });

  test('the stream, the bucket and the table stay when the stack is deleted', () => {
    const text = readFileSync(TEMPLATE, 'utf8');
    for (const name of ['Stream', 'Bucket', 'Table'])
      assert.match(
        text,
        new RegExp(`\\n  ${name}:\\n(?:    .*\\n)*?    DeletionPolicy: Retain\\n    UpdateReplacePolicy: Retain\\n`),
        name,
      );
    // CloudFormation replaces a managed policy whose description changes, and boxes lose what was attached to them.
    assert.doesNotMatch(/\n  GatewayPolicy:\n[\s\S]*?Description: (.*)/.exec(text)?.[1] ?? '!Sub', /!Sub|!Ref/);
  });

  test('every parameter is described and used', () => {
    const text = readFileSync(TEMPLATE, 'utf8');
    const parameters = text
      .slice(text.indexOf('\nParameters:\n'), text.indexOf('\nConditions:\n'))
      .split(/\n(?= {2}\w+:\n)/)
      .slice(1);
    assert.ok(parameters.length > 20);
    for (const parameter of parameters) {
      const name = /^ {2}(\w+):/.exec(parameter)?.[1] ?? '';
      assert.match(parameter, /\n {4}Description:\s+\S.{19}/, name);
      assert.match(text.slice(text.indexOf('\nConditions:\n')), new RegExp(`!Ref ${name}\\b|\\$\\{${name}\\}`), name);
    }
  });
});

describe('the template in moto', () => {
  let python: string | undefined;
  let endpoint = '';
  const stops: (() => Promise<void>)[] = [];
  before(async () => {
    python = await cloudPython();
    if (python !== undefined) endpoint = await startMoto({ after: (stop) => stops.push(stop as () => Promise<void>) }, python);
  });
  after(async () => {
    for (const stop of stops) await stop();
  });

  test('deployed, it has the resources that its parameters select, and a policy that allows the box two calls', async (t) => {
    if (python === undefined) return withoutPython(t);
    const topic = 'arn:aws:sns:eu-west-1:123456789012:alarms';
    const { zip } = await bundleConsumer(tempDir(t));
    const code = { ConsumerCodeBucket: 'code', ConsumerCodeKey: path.basename(zip) };
    await run(python, ['-c', UPLOAD, endpoint, zip, code.ConsumerCodeKey]);
    const deployed = await deploy(python, endpoint, 'eu-west-1', {
      ...code,
      RetentionHours: '48',
      AlarmTopicArn: topic,
      ConsumerBatchSize: '200',
      ConsumerMaximumRetries: '7',
      ExpireAfterDays: '90',
    });

    // Resources that moto's CloudFormation lacks are created by the services' own APIs.
    assert.deepEqual(deployed.byApi, [
      'AWS::CloudWatch::Alarm',
      'AWS::KinesisFirehose::DeliveryStream',
      'AWS::Logs::LogStream',
      'AWS::S3::BucketPolicy',
    ]);
    assert.deepEqual(
      [deployed.stream.StreamStatus, deployed.stream.OpenShardCount, deployed.stream.RetentionPeriodHours],
      ['ACTIVE', 1, 48],
    );
    const streamArn = deployed.outputs['StreamArn'] ?? '';
    assert.deepEqual(deployed.gatewayPolicy.Statement, [
      {
        Effect: 'Allow',
        Action: ['kinesis:DescribeStreamSummary', 'kinesis:ListShards', 'kinesis:PutRecords'],
        Resource: [streamArn],
      },
    ]);
    const { delivery } = deployed;
    assert.ok(delivery !== undefined);
    assert.equal(delivery.DeliveryStreamType, 'KinesisStreamAsSource');
    assert.equal(delivery.Source.KinesisStreamSourceDescription.KinesisStreamARN, streamArn);
    const destination = delivery.Destinations[0]?.ExtendedS3DestinationDescription;
    assert.equal(destination?.['BucketARN'], `arn:aws:s3:::${deployed.outputs['BucketName']}`);
    assert.equal(destination['Prefix'], 'readings/dt=!{timestamp:yyyy-MM-dd}/');
    assert.equal(destination['ErrorOutputPrefix'], 'readings-errors/!{firehose:error-output-type}/dt=!{timestamp:yyyy-MM-dd}/');
    const mapping = deployed.mappings?.[0];
    assert.equal(deployed.mappings?.length, 1);
    assert.equal(mapping?.['EventSourceArn'], streamArn);
    assert.deepEqual(
      [
        'BatchSize',
        'MaximumBatchingWindowInSeconds',
        'BisectBatchOnFunctionError',
        'MaximumRetryAttempts',
        'MaximumRecordAgeInSeconds',
        'StartingPosition',
      ].map((key) => mapping[key]),
      [200, 5, true, 7, 21_600, 'TRIM_HORIZON'],
    );
    assert.deepEqual(mapping['FunctionResponseTypes'], ['ReportBatchItemFailures']);
    assert.deepEqual(mapping['DestinationConfig'], { OnFailure: { Destination: deployed.queue?.['QueueArn'] } });
    assert.deepEqual(
      deployed.alarms
        .map(
          ({ Namespace, MetricName, Dimensions }) => `${Namespace} ${MetricName} ${Dimensions.map(({ Value }) => Value).join()}`,
        )
        .sort(),
      [
        'AWS/Firehose DeliveryToS3.DataFreshness hr-data-stream-to-s3',
        'AWS/Kinesis GetRecords.IteratorAgeMilliseconds hr-data-stream',
        'AWS/Kinesis WriteProvisionedThroughputExceeded hr-data-stream',
        'AWS/Lambda Errors hr-data-stream-consumer',
        'AWS/Lambda IteratorAge hr-data-stream-consumer',
        'AWS/SQS ApproximateNumberOfMessagesVisible hr-data-stream-consumer-on-failure',
      ],
    );
    assert.ok(deployed.alarms.every(({ AlarmActions }) => AlarmActions[0] === topic));

    // The smallest deployment: stream, policy, the stream's alarms, and a customer managed key, which a producer must be allowed to use.
    const key = 'arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab';
    const bare = await deploy(python, endpoint, 'eu-central-1', { DeliverToS3: 'false', ShardCount: '3', EncryptionKeyArn: key });
    assert.deepEqual(bare.types, ['AWS::CloudWatch::Alarm', 'AWS::IAM::ManagedPolicy', 'AWS::Kinesis::Stream']);
    assert.equal(bare.alarms.length, 2);
    assert.equal(bare.stream.OpenShardCount, 3);
    assert.deepEqual(bare.gatewayPolicy.Statement[1], { Effect: 'Allow', Action: 'kms:GenerateDataKey', Resource: key });
    assert.equal(bare.gatewayPolicy.Statement.length, 2);
  });

  // Without the consumer: at every record moto would call its stand-in for the function, a good part of a second each.
  test("a gateway with only the template's policy ships, and the reader, the bundled consumer and the old one read it", async (t) => {
    if (python === undefined) return withoutPython(t);
    const deployed = await deploy(python, endpoint, 'us-east-1', {});

    // From here on moto refuses what the caller's policy does not allow.
    const { stdout } = await run(python, [at('support/box_user.py'), endpoint, JSON.stringify(deployed.gatewayPolicy)]);
    const credentials = JSON.parse(stdout) as { accessKeyId: string; secretAccessKey: string };
    await checkRights(endpoint, true);
    const box = new KinesisClient({ endpoint, region: 'us-east-1', credentials, requestHandler: new NodeHttpHandler() });
    t.after(() => box.destroy());
    await box.send(new DescribeStreamSummaryCommand({ StreamName }));
    await box.send(new ListShardsCommand({ StreamName, ShardFilter: { Type: 'AT_LATEST' } }));
    for (const refused of [
      new GetShardIteratorCommand({ StreamName, ShardId: 'shardId-000000000000', ShardIteratorType: 'TRIM_HORIZON' }),
      new DeleteStreamCommand({ StreamName }),
    ])
      // The answer is XML, which the SDK cannot parse; the status is enough.
      await assert.rejects(
        box.send(refused as DeleteStreamCommand),
        (error) => (error as { $response?: { statusCode?: number } }).$response?.statusCode === 403,
      );
    const product = startOneProcess(t, tempDir(t), {
      KINESIS_TARGET: endpoint,
      AWS_REGION: 'us-east-1',
      AWS_ACCESS_KEY_ID: credentials.accessKeyId,
      AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
      GATEWAY_NAME: 'test-box',
      BLE_SOURCE: 'simulated',
      SIMULATED_STRAPS: '10',
      ALLOW_TEST_READINGS: 'true',
    });
    const { admin } = await product.addresses();
    await eventually(async () => (await getJson<QueueAnswer>(`${admin}/queue`)).ledger.shipped >= READINGS, {
      withinMs: 60_000,
      what: 'readings shipped to moto',
    });
    assert.equal(await product.end(), 0);
    await checkRights(endpoint, false);

    const client = clientOf(endpoint);
    t.after(() => client.destroy());
    const { Shards = [] } = await client.send(new ListShardsCommand({ StreamName }));
    assert.equal(Shards.length, 1);
    const records: StreamRecord[] = [];
    for await (const record of readStream(client, { from: 'oldest', untilCaughtUp: true })) records.push(record);
    const seqs = [...new Set(records.map(({ reading }) => reading?.seq ?? 0))].sort((a, b) => a - b);
    assert.ok(seqs.length >= READINGS);
    assert.deepEqual(
      seqs,
      Array.from({ length: seqs.length }, (_, index) => index + 1),
    );
    assert.ok(
      records.every(
        ({ reading, partitionKey }) =>
          reading?.gateway === 'test-box' && reading.source === 'simulated' && reading.device === partitionKey,
      ),
    );

    // The records as Lambda hands them over, to the code as Lambda runs it.
    const { file } = await bundleConsumer(tempDir(t));
    const { handler } = (await import(pathToFileURL(file).href)) as { handler: Handler };
    const log = t.mock.method(console, 'log', () => undefined);
    const answer = await handler({
      Records: records.map(({ partitionKey, data }, index) => lambdaRecord(index, partitionKey, data)),
    });
    assert.deepEqual(answer, { batchItemFailures: [] });
    assert.equal(log.mock.callCount(), seqs.length);
    log.mock.restore();

    const old = await run(python, [at('support/old_consumer.py'), endpoint, StreamName, String(READINGS)]);
    assert.deepEqual(
      old.stdout.trim().split('\n').slice(0, READINGS),
      records
        .slice(0, READINGS)
        .map(({ reading }) => `${reading?.timestamp.replace('Z', '000').replace('.000000', '')} ${reading?.heart_rate}`),
    );
    // The records of the old script, with two fields, are still in the same stream.
    await client.send(
      new PutRecordCommand({
        StreamName,
        PartitionKey: 'hr',
        Data: Buffer.from('{"timestamp": "2026-11-22T19:00:00.123Z", "heart_rate": 72}'),
      }),
    );
    let last: StreamRecord | undefined;
    for await (const record of readStream(client, { from: 'oldest', untilCaughtUp: true })) last = record;
    assert.deepEqual(last?.reading, { timestamp: '2026-11-22T19:00:00.123Z', heart_rate: 72 });
  });
});
