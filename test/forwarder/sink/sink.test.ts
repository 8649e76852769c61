import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { CreateStreamCommand, DescribeStreamSummaryCommand } from '@aws-sdk/client-kinesis';
import { KinesisSink } from '../../../forwarder/sink/kinesis-sink.ts';
import { SinkError, type Sink, type SinkRecord } from '../../../forwarder/sink/sink.ts';
import { emulators, type Emulator } from '../../local-kinesis/support/emulators.ts';
import { cannotRun } from '../../support/cannot-run.ts';
import { eventually } from '../../support/eventually.ts';
import { testConfig, testLog } from '../../support/test-config.ts';
import { withEnvironment } from '../drain/support/recording-proxy.ts';

const record = (text: string): SinkRecord => ({ partitionKey: 'a', data: Buffer.from(text) });
const never = new AbortController().signal;

/** What every sink does, whatever is behind it. */
for (const name of ['local stream', 'moto', 'kinesis-local'] as const)
  describe(`a sink into ${name}`, () => {
    const cleanups: (() => unknown)[] = [];
    const scope = { after: (cleanup: unknown) => void cleanups.push(cleanup as () => unknown) };
    let emulator: Emulator | undefined;
    let sink: Sink;
    const sinkOf = (stream: string): Sink => {
      const config = testConfig({ KINESIS_TARGET: emulator?.endpoint ?? '', KINESIS_STREAM: stream });
      return new KinesisSink(config, testLog(config));
    };
    before(async () => {
      withEnvironment(scope, { AWS_REGION: 'us-east-1', AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test' });
      emulator = await emulators[name](scope);
      if (emulator === undefined) return;
      const { client } = emulator;
      await client.send(new CreateStreamCommand({ StreamName: 'sink', ShardCount: 2 }));
      await eventually(
        async () =>
          (await client.send(new DescribeStreamSummaryCommand({ StreamName: 'sink' }))).StreamDescriptionSummary?.StreamStatus ===
          'ACTIVE',
      );
      sink = sinkOf('sink');
      scope.after(() => sink.close());
    });
    after(async () => {
      for (const cleanup of cleanups.toReversed()) await cleanup();
    });
    const law = (words: string, holds: () => Promise<void>): void => {
      test(words, async (t) => {
        if (emulator !== undefined) return await holds();
        return cannotRun(t, `${name} cannot run here`);
      });
    };

    law('returns an outcome per record, in the order given, with the shard that stored it', async () => {
      const { outcomes, clockAheadMs } = await sink.send(
        [record('1'), record('2'), { partitionKey: 'b', data: Buffer.from('3') }],
        never,
      );
      assert.deepEqual(
        outcomes.map(({ ok }) => ok),
        [true, true, true],
      );
      assert.ok(outcomes.every((outcome) => outcome.ok && /^shardId-\d{12}$/.test(outcome.shard ?? '')));
      // All run on this machine, with its clock. The others may send a header that is up to a second old.
      if (name === 'local stream') assert.equal(clockAheadMs, 0);
      else assert.ok(Math.abs(clockAheadMs ?? 0) <= 1500, String(clockAheadMs));
    });

    law('reports how many shards are open and how large a record may be', async () => {
      assert.deepEqual(await sink.limits(never), { openShards: 2, maxRecordBytes: 1024 * 1024 });
    });

    law('lists the open shards, whose ranges cover every hash key once', async () => {
      const shards = (await sink.shards(never)).sort((a, b) => (a.startHash < b.startHash ? -1 : 1));
      assert.equal(shards.length, 2);
      assert.ok(shards.every(({ id }) => /^shardId-\d{12}$/.test(id)));
      assert.deepEqual(
        [shards[0]?.startHash, shards[0]?.endHash, shards[1]?.endHash],
        [0n, (shards[1]?.startHash ?? 0n) - 1n, 2n ** 128n - 1n],
      );
    });

    law('throws a SinkError with state, detail and hint if the request fails', async () => {
      const missing = sinkOf('none-such');
      for (const request of [async () => await missing.send([record('x')], never), async () => await missing.limits(never)])
        await assert.rejects(
          request,
          (error) =>
            error instanceof SinkError &&
            error.failure.state === 'stream_missing' &&
            error.message.startsWith('stream_missing: ') &&
            error.failure.detail !== '' &&
            error.failure.hint !== '',
        );
      missing.close();
    });

    law('sends after its client was replaced', async () => {
      await sink.rebuild();
      assert.equal((await sink.send([record('4')], never)).outcomes[0]?.ok, true);
    });

    law('ends an aborted request as unreachable', async () => {
      const abort = new AbortController();
      abort.abort();
      await assert.rejects(
        sink.send([record('x')], abort.signal),
        (error) => error instanceof SinkError && error.failure.state === 'unreachable',
      );
    });
  });
