import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { Drain } from '../../../forwarder/drain/drain.ts';
import { ForwarderMetrics } from '../../../forwarder/metrics.ts';
import { Queue } from '../../../forwarder/queue/queue.ts';
import { KinesisSink } from '../../../forwarder/sink/kinesis-sink.ts';
import { SinkError } from '../../../forwarder/sink/sink.ts';
import { eventually } from '../../support/eventually.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { testConfig, testLog } from '../../support/test-config.ts';
import { plans, startMalformedStream, type Plan } from './support/malformed-stream.ts';

const cleanups: (() => unknown)[] = [];
const file = { after: (cleanup: unknown) => void cleanups.push(cleanup as () => unknown) };
after(async () => {
  for (const cleanup of cleanups.toReversed()) await cleanup();
});
const never = new AbortController().signal;

const stream = await startMalformedStream(file);

test('a sink reports a record as stored only if a consistent answer confirms it', async (t) => {
  const config = testConfig({ LOCAL_KINESIS_PORT: String(stream.port), KINESIS_STREAM: 'malformed' });
  const sink = new KinesisSink(config, testLog(config));
  t.after(() => sink.close());
  let next = 0;
  await fc.assert(
    fc.asyncProperty(plans, fc.integer({ min: 1, max: 6 }), async (plan, count) => {
      const names = Array.from({ length: count }, () => `sink-${(next += 1)}`);
      // The SDK repeats a failed request once: the second answer is as bad as the first one.
      stream.plan([], plan);
      let stored: string[] = [];
      try {
        const { outcomes } = await sink.send(
          names.map((name) => ({ partitionKey: 'a', data: Buffer.from(name) })),
          never,
        );
        assert.equal(outcomes.length, count);
        stored = names.filter((_, at) => outcomes[at]?.ok === true);
      } catch (error) {
        assert.ok(error instanceof SinkError, String(error));
        assert.notEqual(error.failure.poison, true, 'a malformed answer must not lead to dead letters');
        assert.notEqual(error.failure.detail, '');
      }
      assert.deepEqual(
        stored,
        names.filter((name) => stream.confirmed.has(name)),
      );
    }),
    { numRuns: 300 },
  );
});

for (const [what, plan, detail] of [
  ['fewer results than records', { kind: 'results', results: ['stored'], extra: -1, count: 'right' }, /1 results for 2 records/],
  ['more results than records', { kind: 'results', results: ['stored'], extra: 1, count: 'right' }, /3 results for 2 records/],
  ['an error code beside a sequence number', { kind: 'results', results: ['both'], extra: 0, count: 0 }, /both/],
  ['a wrong failed count', { kind: 'results', results: ['stored'], extra: 0, count: 1 }, /FailedRecordCount 1, but 0/],
  ['no failed count', { kind: 'results', results: ['stored'], extra: 0, count: 'missing' }, /FailedRecordCount is missing/],
  ['no results', { kind: 'no_results' }, /no results/],
] as const satisfies readonly (readonly [string, Plan, RegExp])[])
  test(`an answer with ${what} is uplink state error and names the contradiction`, async (t) => {
    const config = testConfig({ LOCAL_KINESIS_PORT: String(stream.port), KINESIS_STREAM: 'malformed' });
    const sink = new KinesisSink(config, testLog(config));
    t.after(() => sink.close());
    stream.plan([], plan);
    await assert.rejects(
      sink.send(
        ['x', 'y'].map((text) => ({ partitionKey: 'a', data: Buffer.from(text) })),
        never,
      ),
      (error) => {
        assert.ok(error instanceof SinkError);
        assert.equal(error.failure.state, 'error');
        assert.match(error.failure.detail, detail);
        return true;
      },
    );
  });

test('no reading leaves the queue that the stream did not confirm, whatever it answers', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(plans, { minLength: 1, maxLength: 3 }), fc.integer({ min: 1, max: 6 }), async (answers, count) => {
      stream.confirmed.clear();
      const config = testConfig({
        DATA_DIR: tempDir(t),
        LOCAL_KINESIS_PORT: String(stream.port),
        KINESIS_STREAM: 'malformed',
      });
      const names = Array.from({ length: count }, (_, at) => `reading-${at}`);
      const run = async (planned: readonly Plan[], until: (queue: Queue) => boolean): Promise<string[]> => {
        const log = testLog(config);
        const queue = new Queue(config);
        await queue.start();
        const drain = new Drain({ config, log, queue, sink: new KinesisSink(config, log), metrics: new ForwarderMetrics() });
        if (queue.state.ledger.accepted === 0)
          queue.append({
            rows: { data: names, devices: names.map(() => 'd'), sources: names.map(() => 0) },
            dead: [],
            watermarks: [],
          });
        stream.plan(planned, planned.at(-1));
        drain.start();
        // Before the commit the queue is empty, too.
        await eventually(() => queue.state.ledger.accepted === count && until(queue), { what: JSON.stringify(queue.state) });
        await drain.stop();
        await queue.stop();
        const again = new Queue(config);
        await again.start();
        const { ledger } = again.state;
        assert.equal(ledger.dead + ledger.evicted, 0);
        assert.equal(ledger.accepted, ledger.shipped + ledger.queued);
        const left = (await again.take({ maxRows: 100, maxBytes: 1e6 })).map(({ data }) => data);
        await again.stop();
        return left;
      };
      const before = stream.requests();
      const left = await run(answers, ({ depth }) => stream.requests() >= before + answers.length || depth === 0);
      assert.deepEqual(
        left.toSorted(),
        names.filter((name) => !stream.confirmed.has(name)),
      );
      if (left.length === 0) return;
      assert.deepEqual(await run([{ kind: 'valid', failed: [false] }], ({ depth }) => depth === 0), []);
      assert.deepEqual([...stream.confirmed].toSorted(), names);
    }),
    { numRuns: 8 },
  );
});
