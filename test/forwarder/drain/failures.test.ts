import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CreateStreamCommand, DeleteStreamCommand } from '@aws-sdk/client-kinesis';
import { ForwarderHealth } from '../../../forwarder/health.ts';
import { classify } from '../../../forwarder/sink/failure-classes.ts';
import { cannotRun } from '../../support/cannot-run.ts';
import { eventually } from '../../support/eventually.ts';
import { sharedStream, startLocalStream } from '../../support/local-stream.ts';
import { smallDisk } from '../../support/small-disk.ts';
import { assertOrderOfDevices, startDrain } from './support/drain-bench.ts';

const unlimited = sharedStream();

for (const [request, state, detail] of [
  ['status500', 'error', 'HTTP 500 InternalFailure Internal service failure.'],
  ['connectionReset', 'unreachable', 'ECONNRESET TimeoutError read ECONNRESET'],
  ['expiredToken', 'credentials_expired', 'ExpiredTokenException The security token included in the request is expired'],
  ['accessDenied', 'unauthorized', 'AccessDeniedException User is not authorized to perform: kinesis:PutRecords'],
  ['unrecognizedClient', 'unauthorized', 'UnrecognizedClientException The security token included in the request is invalid.'],
  ['throttled', 'throttled', 'ProvisionedThroughputExceededException Rate exceeded.'],
  ['kmsDisabled', 'kms_error', 'KMSDisabledException The CMK is disabled.'],
  ['streamMissing', 'stream_missing', 'ResourceNotFoundException Stream under account 000000000000 not found.'],
  ['notActive', 'stream_not_active', 'ResourceInUseException Stream is not ACTIVE: CREATING.'],
  [
    'clockSkew',
    'clock_skew',
    'InvalidSignatureException Signature expired: 20200101T000000Z is now earlier than 20200101T000500Z (20200101T001000Z - 5 min.)',
  ],
] as const)
  test(`a request that fails with ${request} is uplink state ${state}; afterwards everything is shipped`, async (t) => {
    const bench = await startDrain(t, await unlimited());
    await bench.faults({ request });
    bench.add(20);
    await eventually(() => bench.drain.uplink.current.state === state, {
      what: `${state}, not ${bench.drain.uplink.current.detail}`,
    });
    const { hint, since, ...shown } = bench.drain.uplink.asStatus();
    // The state is the code; the reason is the detail alone and does not repeat it.
    assert.deepEqual(shown, { state, reason: detail });
    assert.notEqual(hint, '');
    assert.ok(Date.parse(since) <= Date.now());
    assert.equal(bench.queue.state.ledger.shipped, 0);
    await bench.faults({});
    await bench.settled(20);
    await eventually(() => bench.drain.uplink.current.state === 'ok');
  });

test('a stalled body ends by the socket timeout, and its readings are sent again', async (t) => {
  const bench = await startDrain(t, await unlimited(), {
    timeouts: { connectMs: 300, requestMs: 300, socketMs: 300, wholeMs: 2000 },
  });
  await bench.faults({ request: 'stalledBody' });
  bench.add(5);
  await eventually(() => bench.drain.uplink.current.state === 'unreachable');
  await bench.faults({});
  await bench.settled(5);
  assert.equal(new Set((await bench.read()).map(({ seq }) => seq)).size, 5);
});

test('an answer that never begins ends by the request timeout', async (t) => {
  const bench = await startDrain(t, await unlimited(), {
    timeouts: { connectMs: 300, requestMs: 300, socketMs: 60_000, wholeMs: 2000 },
  });
  await bench.faults({ latencyMs: 5000 });
  bench.add(5);
  await eventually(() => bench.drain.uplink.current.state === 'unreachable');
  await bench.faults({});
  await bench.settled(5);
});

test('rows whose answer was cut in half stay queued until a complete answer names them', async (t) => {
  const bench = await startDrain(t, await unlimited());
  await bench.faults({ request: 'halfBody' });
  bench.add(5);
  await eventually(() => bench.drain.uplink.current.state === 'unreachable');
  assert.equal(bench.queue.state.ledger.shipped, 0);
  await bench.faults({});
  await bench.settled(5);
});

test('readings wait for a stream that refuses connections, is deleted, or does not exist yet', async (t) => {
  const bench = await startDrain(t, await unlimited());
  await bench.faults({ refuseConnectionsMs: 1500 });
  bench.add(5);
  await eventually(() => bench.drain.uplink.current.state === 'unreachable');
  await bench.settled(5);
  await bench.stream.client.send(new DeleteStreamCommand({ StreamName: bench.streamName }));
  bench.add(5);
  await eventually(() => bench.drain.uplink.current.state === 'stream_missing');
  assert.equal(bench.queue.state.ledger.queued, 5);
  await bench.stream.client.send(new CreateStreamCommand({ StreamName: bench.streamName, ShardCount: 1 }));
  await bench.settled(10);
});

test('nothing is sent before Retry-After has passed', async (t) => {
  const bench = await startDrain(t, await unlimited());
  await bench.faults({ request: 'retryAfter', count: 2 });
  const startedAt = performance.now();
  bench.add(5);
  await bench.settled(5);
  assert.ok(performance.now() - startedAt >= 2000);
});

test('each failure doubles the pause between requests', async (t) => {
  const bench = await startDrain(t, await unlimited());
  await bench.faults({ request: 'accessDenied' });
  bench.add(3000, 3);
  await eventually(() => bench.drain.uplink.current.state === 'unauthorized');
  const before = bench.drain.metrics.requestsFailed;
  await new Promise((resolve) => setTimeout(resolve, 1500));
  assert.ok(bench.drain.metrics.requestsFailed - before <= 5, String(bench.drain.metrics.requestsFailed));
});

test('a poison record is found by bisection and buried; all others are shipped', async (t) => {
  const bench = await startDrain(t, await unlimited());
  await bench.faults({ request: 'rejectPoison' });
  const rows = Array.from({ length: 300 }, (_, index) =>
    JSON.stringify({ seq: index + 1, device: 'd', text: index === 137 ? 'poison' : '' }),
  );
  bench.queue.append({
    rows: { data: rows, devices: rows.map(() => 'd'), sources: rows.map(() => 0) },
    dead: [],
    watermarks: [],
  });
  await bench.settled(300);
  assert.equal(bench.queue.state.causes.dead['refused_by_stream'], 1);
  assert.equal(new Set((await bench.read()).map(({ seq }) => seq)).size, 299);
  assert.equal(bench.drain.uplink.current.state, 'ok');
});

test('aggregated: a poison record is found inside its aggregate, and its device stays in order', async (t) => {
  const bench = await startDrain(t, await unlimited(), {
    environment: { KINESIS_MODE: 'aggregated' },
    aggregateBytes: 4096,
  });
  await bench.faults({ request: 'rejectPoison', recordFailureRate: 0.3, seed: 5 });
  bench.add(100, 3);
  bench.add(1, 1, 'poison');
  bench.add(200, 3);
  await bench.settled(301);
  assert.equal(bench.queue.state.causes.dead['refused_by_stream'], 1);
  const readings = await bench.read();
  assert.equal(readings.length, 300);
  assertOrderOfDevices(readings);
});

test('if everything is refused, no more than 20 readings are buried until one is accepted', async (t) => {
  const bench = await startDrain(t, await unlimited());
  await bench.faults({ request: 'rejectPoison' });
  bench.add(30, 1, 'poison');
  await eventually(() => bench.drain.uplink.current.state === 'rejected' && bench.queue.state.ledger.dead === 20);
  bench.add(10);
  await bench.settled(40);
  assert.equal((await bench.read()).length, 10);
  assert.equal(bench.queue.state.ledger.dead, 30);
});

test('every thrown value is classified with a state, a detail and a hint', () => {
  fc.assert(
    fc.property(fc.anything(), (thrown) => {
      const failure = classify(thrown);
      assert.ok(failure.state !== 'ok' && failure.detail !== '' && failure.hint !== '');
    }),
  );
  const named = (name: string, message = 'x'): string => classify(Object.assign(new Error(message), { name })).state;
  assert.equal(classify(Object.assign(new Error('x'), { code: 'ENOTFOUND' })).state, 'unreachable');
  assert.equal(named('InvalidSignatureException', 'Signature expired: 1 is now earlier than 2'), 'clock_skew');
  assert.equal(named('InvalidSignatureException', 'The request signature does not match'), 'unauthorized');
  assert.equal(named('SyntaxError', 'Unexpected token < in JSON'), 'unreachable');
  assert.equal(classify(Object.assign(new Error('x'), { $metadata: { httpStatusCode: 429 } })).state, 'throttled');
  assert.equal(classify(new Error('Region is missing')).hint, 'Set AWS_REGION.');
});

test('a local stream whose disk is full is a state of its own, which health names; with space again everything is shipped', async (t) => {
  const disk = smallDisk(16 * 1024 * 1024);
  if (disk === undefined) return cannotRun(t, 'a small file system cannot be mounted here');
  const ends: (() => unknown)[] = [];
  const later = { after: (end: unknown) => void ends.push(end as () => unknown) };
  const bench = await startDrain(t, await startLocalStream(later, { DATA_DIR: disk.folder, LOCAL_KINESIS_LIMITS: 'false' }));
  // The drain ends before its stream.
  t.after(async () => await Promise.all(ends.map((end) => end())));
  disk.fillTo(0);
  bench.add(200, 1, 'x'.repeat(2000));
  await eventually(() => bench.drain.uplink.current.state === 'local_stream_file', {
    what: `not ${bench.drain.uplink.current.state} ${bench.drain.uplink.current.detail}`,
  });
  assert.match(bench.drain.uplink.current.detail, /^SQLITE_(FULL|IOERR_WRITE): /);
  const check = new ForwarderHealth(bench.queue, bench.drain).checks().find(({ name }) => name === 'uplink');
  assert.equal(check?.code, 'local_stream_file');
  assert.match(check.hint, /disk of DATA_DIR/);
  disk.clear();
  await bench.settled(200);
  await eventually(() => bench.drain.uplink.current.state === 'ok');
  assert.equal(new Set((await bench.read()).map(({ seq }) => seq)).size, 200);
  return undefined;
});
