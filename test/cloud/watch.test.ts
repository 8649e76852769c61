import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { bundleConsumer } from '../../cloud/consumer/bundle.ts';
import { GatewayReports, NAMESPACE, SeenGateways } from '../../cloud/consumer/gateway-metrics.ts';
import { cannotRun } from '../support/cannot-run.ts';
import { tempDir } from '../support/temp-dir.ts';
import { deploy, UPLOAD, type Deployment } from './support/deployment.ts';
import { lambdaRecord, type Handler } from './support/lambda.ts';
import { cloudPython, startMoto } from './support/moto.ts';
import { readingLine } from './support/readings.ts';

const run = promisify(execFile);
const MINUTE_MS = 60_000;
const RUN = '3f9a1c2e00b7d415';
const T0 = Date.UTC(2026, 10, 22, 19);

interface MetricLine {
  _aws: {
    Timestamp: number;
    CloudWatchMetrics: { Namespace: string; Dimensions: string[][]; Metrics: { Name: string; Unit: string }[] }[];
  };
  [member: string]: unknown;
}

/**
 * A log line as CloudWatch reads it (CloudWatch User Guide, "Specification: Embedded metric format"): each dimension is a text, and each
 * metric a number, at the top level of the same object.
 */
function metricsIn(line: string): { dimensions: Record<string, unknown>; values: Record<string, number> } {
  const parsed = JSON.parse(line) as MetricLine;
  assert.ok(Number.isInteger(parsed._aws.Timestamp), 'the time is a whole number of milliseconds');
  const [directive, ...others] = parsed._aws.CloudWatchMetrics;
  assert.ok(directive !== undefined && others.length === 0, 'one directive');
  assert.equal(directive.Namespace, NAMESPACE);
  assert.ok(directive.Metrics.length <= 100 && directive.Dimensions.every((set) => set.length <= 30), "CloudWatch's limits");
  const dimensions = Object.fromEntries(directive.Dimensions.flat().map((name) => [name, parsed[name]]));
  for (const [name, value] of Object.entries(dimensions)) assert.equal(typeof value, 'string', name);
  const values = Object.fromEntries(
    directive.Metrics.map(({ Name, Unit }) => {
      assert.ok(['Count', 'Seconds'].includes(Unit), Unit);
      assert.equal(typeof parsed[Name], 'number', Name);
      return [Name, parsed[Name] as number];
    }),
  );
  return { dimensions, values };
}

function seen(...records: [gateway: string, atMs: number, isReading?: boolean][]): SeenGateways {
  const gateways = new SeenGateways();
  for (const [gateway, atMs, isReading = true] of records) gateways.add(gateway, { isReading, arrivedAt: new Date(atMs) });
  return gateways;
}

test('each gateway is reported once a minute, with the sum of its readings and when it was last seen', () => {
  const reports = new GatewayReports('hr-data-stream');
  const first = reports.after(seen(['front-desk', T0], ['front-desk', T0 + 500], ['back-door', T0, false]), T0 + 1000);
  assert.deepEqual(first.map(metricsIn), [
    { dimensions: { StreamName: 'hr-data-stream', Gateway: 'front-desk' }, values: { Readings: 2, LastSeen: T0 / 1000 } },
    // Only its account record: it lives, and nobody wears a strap.
    { dimensions: { StreamName: 'hr-data-stream', Gateway: 'back-door' }, values: { Readings: 0, LastSeen: T0 / 1000 } },
  ]);
  let lines: string[] = [];
  for (let second = 2; second <= 61; second += 1) {
    assert.deepEqual(lines, [], `nothing in second ${second - 1}`);
    lines = reports.after(seen(['front-desk', T0 + second * 1000]), T0 + second * 1000);
  }
  assert.deepEqual(
    lines.map(metricsIn).map(({ values }) => values),
    [{ Readings: 60, LastSeen: T0 / 1000 + 61 }],
  );
  // A gateway that is silent from now on is reported by the calls for others, and then no more.
  reports.after(seen(['front-desk', T0 + 62_000]), T0 + 62_000);
  assert.equal(reports.after(seen(['back-door', T0 + 200_000]), T0 + 200_000).length, 2);
  assert.equal(reports.after(seen(['back-door', T0 + 300_000]), T0 + 300_000).length, 1);
  const [line = ''] = first;
  assert.deepEqual((JSON.parse(line) as MetricLine)._aws.CloudWatchMetrics[0]?.Dimensions, [
    ['StreamName', 'Gateway'],
    ['StreamName'],
  ]);
});

describe('the watch of the deployed template', () => {
  let python: string | undefined;
  let endpoint = '';
  let deployed: Deployment | undefined;
  const cleanups: (() => unknown)[] = [];
  const scope = { after: (cleanup: unknown) => void cleanups.push(cleanup as () => unknown) };
  before(async () => {
    python = await cloudPython();
    if (python === undefined) return;
    endpoint = await startMoto(scope, python);
    const { zip } = await bundleConsumer(tempDir(scope));
    const code = { ConsumerCodeBucket: 'code', ConsumerCodeKey: path.basename(zip) };
    await run(python, ['-c', UPLOAD, endpoint, zip, code.ConsumerCodeKey]);
    deployed = await deploy(python, endpoint, 'us-east-1', {
      ...code,
      DeliverToS3: 'false',
      GatewaySilenceMinutes: '30',
      StreamSilenceMinutes: '15',
      AlarmTopicArn: 'arn:aws:sns:us-east-1:123456789012:alarms',
    });
  });
  after(async () => {
    for (const cleanup of cleanups.toReversed()) await cleanup();
  });

  /** A fresh instance of both functions, with the variables that the template gives them, and what it logs. */
  async function instance(t: { mock: { method: (...args: never[]) => unknown } } & { after: (fn: () => void) => void }): Promise<{
    handler: Handler;
    watch: () => Promise<{ gateways: number; silent: string[] }>;
    lines: string[];
  }> {
    const { file } = await bundleConsumer(tempDir(scope));
    const lines: string[] = [];
    const before = { log: console.log, write: process.stdout.write.bind(process.stdout), env: { ...process.env } };
    t.after(() => {
      console.log = before.log;
      process.stdout.write = before.write;
      process.env = before.env;
    });
    console.log = (line: string) => void lines.push(line);
    // Metrics are lines of their own on standard output, which the test runner uses as well.
    process.stdout.write = ((chunk: string | Uint8Array) => {
      if (typeof chunk !== 'string' || !chunk.startsWith('{"_aws"')) return before.write(chunk);
      lines.push(...chunk.trimEnd().split('\n'));
      return true;
    }) as typeof process.stdout.write;
    const { watchVariables = {}, variables = {} } = deployed ?? {};
    const aws = { AWS_ENDPOINT_URL: endpoint, AWS_REGION: 'us-east-1', AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test' };
    Object.assign(process.env, aws, variables, watchVariables);
    const module = (await import(`${pathToFileURL(file).href}?${Math.random()}`)) as {
      handler: Handler;
      watch: () => Promise<{ gateways: number; silent: string[] }>;
    };
    return { ...module, lines };
  }

  const arriving = (atMs: number, data: object, index = 0): ReturnType<typeof lambdaRecord> => {
    const record = lambdaRecord(index, 'a', Buffer.from(`${JSON.stringify(data)}\n`));
    return { ...record, kinesis: { ...record.kinesis, approximateArrivalTimestamp: atMs / 1000 } };
  };
  const heartbeat = (gateway: string): object => ({ record: 'account', gateway, sent_at: '2026-11-22T19:00:00.000Z' });
  const reading = (gateway: string, seq = 1): object => readingLine(RUN, seq, { gateway });

  test('its alarms watch what its functions report, and missing data is an alarm', (t) => {
    if (deployed === undefined) return cannotRun(t, 'no Python with moto and cfn-lint');
    const alarm = (name: string): Deployment['alarms'][number] | undefined =>
      deployed?.alarms.find(({ AlarmName }) => AlarmName === name);
    const silent = alarm('hr-data-stream-gateways-silent');
    assert.deepEqual(
      [silent?.Namespace, silent?.MetricName, silent?.TreatMissingData, silent?.Dimensions],
      [NAMESPACE, 'SilentGateways', 'breaching', [{ Name: 'StreamName', Value: 'hr-data-stream' }]],
    );
    const stream = alarm('hr-data-stream-silent');
    assert.deepEqual(
      [
        stream?.Namespace,
        stream?.MetricName,
        stream?.TreatMissingData,
        stream?.EvaluationPeriods,
        stream?.Threshold,
        stream?.ComparisonOperator,
      ],
      ['AWS/Kinesis', 'IncomingRecords', 'breaching', 15, 1, 'LessThanThreshold'],
    );
    assert.ok(
      [silent, stream].every((each) => each?.AlarmActions[0]?.endsWith(':alarms') === true),
      'both are sent to the topic',
    );
    // moto keeps the number of a parameter; Lambda makes it a text.
    const variables = Object.fromEntries(Object.entries(deployed.variables ?? {}).map(([name, value]) => [name, String(value)]));
    assert.deepEqual(variables, {
      METRICS_STREAM: 'hr-data-stream',
      LAST_SEEN_TABLE: deployed.outputs['LastSeenTableName'],
      SILENCE_MINUTES: '30',
    });
  });

  test('a gateway whose account records end is counted and named, one that has sent readings only as well; others are not', async (t) => {
    if (deployed === undefined) return cannotRun(t, 'no Python with moto and cfn-lint');
    const { handler, watch, lines } = await instance(t as never);
    const now = Date.now();
    // Before the first gateway there is no count, so the alarm says that something is missing.
    assert.deepEqual(await watch(), { gateways: 0, silent: [] });
    assert.deepEqual(
      lines.map((line) => (JSON.parse(line) as { event?: string }).event),
      ['no_gateway_seen'],
    );
    const answer = await handler({
      Records: [
        arriving(now - 31 * MINUTE_MS, heartbeat('box-4711'), 0),
        arriving(now - 29 * MINUTE_MS, heartbeat('box-1'), 1),
        arriving(now - 31 * MINUTE_MS, heartbeat('box-2'), 2),
        arriving(now - 1000, heartbeat('box-2'), 3),
        arriving(now - 31 * MINUTE_MS, reading('without-accounts'), 4),
        arriving(now, { timestamp: '2026-11-22T19:00:00.123Z', heart_rate: 72 }, 5),
      ],
    });
    assert.deepEqual(answer, { batchItemFailures: [] });
    const metrics = lines.filter((line) => line.includes('"_aws"')).map(metricsIn);
    assert.deepEqual(
      metrics.map(({ dimensions, values }) => [dimensions['Gateway'], values['Readings']]),
      [
        ['box-4711', 0],
        ['box-1', 0],
        ['box-2', 0],
        ['without-accounts', 1],
      ],
    );
    lines.length = 0;
    assert.deepEqual(await watch(), { gateways: 4, silent: ['box-4711', 'without-accounts'] });
    const [count = '', named = ''] = lines;
    assert.deepEqual(metricsIn(count), {
      dimensions: { StreamName: 'hr-data-stream' },
      values: { SilentGateways: 2, Gateways: 4 },
    });
    const { event, gateways } = JSON.parse(named) as { event: string; gateways: { gateway: string; last_seen: string }[] };
    assert.equal(event, 'gateways_silent');
    assert.deepEqual(gateways[0], { gateway: 'box-4711', last_seen: new Date(now - 31 * MINUTE_MS).toISOString() });

    // Back again, read by another instance; older records that are delivered again change nothing.
    const other = await instance(t as never);
    await other.handler({ Records: [arriving(now, heartbeat('box-4711'))] });
    await other.handler({ Records: [arriving(now - 60 * MINUTE_MS, heartbeat('box-1'))] });
    assert.deepEqual(await other.watch(), { gateways: 4, silent: ['without-accounts'] });
  });

  test('a table that is away fails no reading', async (t) => {
    if (deployed === undefined) return cannotRun(t, 'no Python with moto and cfn-lint');
    const { handler } = await instance(t as never);
    process.env['LAST_SEEN_TABLE'] = 'none-such';
    const errors: string[] = [];
    t.mock.method(console, 'error', (line: string) => void errors.push(line));
    assert.deepEqual(await handler({ Records: [arriving(Date.now(), heartbeat('box-9'))] }), { batchItemFailures: [] });
    assert.match(errors.join(), /last_seen_failed.*ResourceNotFoundException/);
  });
});
