import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { PutRecordsCommand, SplitShardCommand, type KinesisClient } from '@aws-sdk/client-kinesis';
import { readStream, type Checkpoint, type ReadStreamOptions } from '../../cloud/reader/read-stream.ts';
import { aggregate } from '../../forwarder/drain/aggregation.ts';
import { clientOf } from '../system/pipeline/support/stream.ts';
import { eventually } from '../support/eventually.ts';
import { sealed, unsealed } from '../../local-kinesis/tokens.ts';
import { startLocalStream } from '../support/local-stream.ts';
import { startProduct } from '../support/product-process.ts';

const READING = { timestamp: '2026-11-22T19:00:00.123Z', gateway: 'test-box', run: '3f9a1c2e00b7d415' };

const StreamName = 'hr-data-stream';
const readingOf = (seq: number): Buffer =>
  Buffer.from(`${JSON.stringify({ ...READING, heart_rate: 60 + (seq % 100), device: 'tickr-123456', seq })}\n`);
const seqsOf = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, index) => from + index);

async function put(
  client: KinesisClient,
  from: number,
  to: number,
  keyOf = (_seq: number): string => 'tickr-123456',
): Promise<void> {
  await client.send(
    new PutRecordsCommand({
      StreamName,
      Records: seqsOf(from, to).map((seq) => ({ PartitionKey: keyOf(seq), Data: readingOf(seq) })),
    }),
  );
}

/** How many calls of this kind the client makes. */
function countCalls(client: KinesisClient, command: string): () => number {
  let calls = 0;
  client.middlewareStack.add(
    (next, context) => async (args) => {
      if (context.commandName === command) calls += 1;
      return await next(args);
    },
    { step: 'initialize' },
  );
  return () => calls;
}

/** Ages every iterator issued until half a second from now by six minutes; they are valid for five. Returns the number of refusals. */
function ageIterators(client: KinesisClient): () => number {
  const before = Date.now() + 500;
  let refused = 0;
  client.middlewareStack.add(
    (next) => async (args) => {
      const input = args.input as { ShardIterator?: string };
      if (input.ShardIterator === undefined) return await next(args);
      const values = unsealed('iterator', input.ShardIterator) ?? [];
      const madeMs = Number(values.at(-1));
      if (madeMs > before) return await next(args);
      const aged = sealed('iterator', [...values.slice(0, -1), madeMs - 6 * 60_000]);
      try {
        return await next({ ...args, input: { ...input, ShardIterator: aged } });
      } catch (error) {
        refused += Number((error as Error).name === 'ExpiredIteratorException');
        throw error;
      }
    },
    { step: 'initialize' },
  );
  return () => refused;
}

async function seqsOfStream(client: KinesisClient, options: Partial<ReadStreamOptions> = {}): Promise<number[]> {
  const seqs: number[] = [];
  for await (const { reading } of readStream(client, { from: 'oldest', untilCaughtUp: true, ...options }))
    seqs.push(reading?.seq ?? 0);
  return seqs;
}

describe('the reader', () => {
  test('it requests no more than its consumer takes', async (t) => {
    const { client } = await startLocalStream(t);
    await put(client, 1, 100);
    const calls = countCalls(client, 'GetRecordsCommand');
    const records = readStream(client, { from: 'oldest', recordsPerRead: 10 });
    for (const seq of seqsOf(1, 25)) {
      const { value } = await records.next();
      assert.equal(value?.reading?.seq, seq);
      assert.equal(calls(), Math.ceil(seq / 10));
    }
    await records.return(undefined);
    assert.equal(calls(), 3);
  });

  test('an iterator that expires while the consumer is busy neither loses nor repeats a record', async (t) => {
    const { client, endpoint } = await startLocalStream(t);
    const other = clientOf(endpoint);
    t.after(() => other.destroy());
    await put(client, 1, 5);
    const oldest = readStream(client, { from: 'oldest' });
    for (const seq of seqsOf(1, 5)) assert.equal((await oldest.next()).value?.reading?.seq, seq);
    const calls = countCalls(other, 'GetRecordsCommand');
    const now = readStream(other, { from: 'now' });
    const firstFromNow = now.next();
    await eventually(() => calls() > 0);
    const refused = [client, other].map(ageIterators);
    await put(client, 6, 10);
    for (const seq of seqsOf(6, 10)) assert.equal((await oldest.next()).value?.reading?.seq, seq);
    assert.equal((await firstFromNow).value?.reading?.seq, 6);
    for (const seq of seqsOf(7, 10)) assert.equal((await now.next()).value?.reading?.seq, seq);
    assert.ok(refused.every((count) => count() > 0));
    await Promise.all([oldest.return(undefined), now.return(undefined)]);
  });

  test('the stream is read to its end, past an empty closed shard and beside readers that use its five reads per second', async (t) => {
    const { client } = await startLocalStream(t);
    await client.send(
      new SplitShardCommand({ StreamName, ShardToSplit: 'shardId-000000000000', NewStartingHashKey: (2n ** 127n).toString() }),
    );
    await put(client, 1, 200, (seq) => `key ${seq}`);
    const read = await Promise.all([1, 2, 3].map(async () => await seqsOfStream(client, { recordsPerRead: 20, pollMs: 10 })));
    for (const seqs of read)
      assert.deepEqual(
        seqs.toSorted((a, b) => a - b),
        seqsOf(1, 200),
      );
  });

  test('more readers start at once than the shard grants iterators a second, and each reads everything', async (t) => {
    const { client, endpoint } = await startLocalStream(t);
    await put(client, 1, 20);
    const read = await Promise.all(
      Array.from({ length: 15 }, async () => {
        const hasty = clientOf(endpoint, { maxAttempts: 1 });
        t.after(() => hasty.destroy());
        return await seqsOfStream(hasty);
      }),
    );
    for (const seqs of read) assert.deepEqual(seqs, seqsOf(1, 20));
  });

  test('reading until caught up ends on a stream that is written to all the time', async (t) => {
    const { client } = await startLocalStream(t);
    await put(client, 1, 100);
    let seq = 100;
    const writing = new AbortController();
    const written = (async (): Promise<void> => {
      while (!writing.signal.aborted) await put(client, (seq += 1), seq);
    })();
    try {
      const signal = AbortSignal.timeout(20_000);
      const seqs = await seqsOfStream(client, { signal });
      assert.equal(signal.aborted, false, 'it ends by itself');
      assert.ok(seq > 100 && seqs.length >= 100, `${seqs.length} of ${seq}`);
    } finally {
      writing.abort();
      await written;
    }
  });

  test('a checkpoint moves after the consumer received a record or a whole aggregate; other data is passed on unchanged', async (t) => {
    const { client } = await startLocalStream(t);
    await put(client, 1, 3);
    await client.send(
      new PutRecordsCommand({
        StreamName,
        Records: [aggregate('k', [readingOf(4), readingOf(5), readingOf(6)]), Buffer.from('no reading'), readingOf(7)].map(
          (Data) => ({ PartitionKey: 'k', Data }),
        ),
      }),
    );
    const checkpoint: Checkpoint = {};
    const seen: number[] = [];
    for await (const { reading } of readStream(client, { from: 'oldest', checkpoint })) {
      seen.push(reading?.seq ?? 0);
      // In the middle of the aggregate.
      if (reading?.seq === 5) break;
    }
    assert.deepEqual(seen, [1, 2, 3, 4, 5]);
    const later: (number | string)[] = [];
    for await (const { reading, data } of readStream(client, { from: 'oldest', untilCaughtUp: true, checkpoint }))
      later.push(reading?.seq ?? data.toString());
    assert.deepEqual(later, [4, 5, 6, 'no reading', 7]);
    assert.deepEqual(await seqsOfStream(client, { checkpoint }), []);
    assert.deepEqual(await seqsOfStream(client, { from: 'now' }), []);
  });

  test('npm run tail prints readings, aggregated ones too, as they arrive, and as JSON on request', async (t) => {
    const { client, port } = await startLocalStream(t);
    await client.send(
      new PutRecordsCommand({
        StreamName,
        Records: [aggregate('k', [readingOf(1), readingOf(2)]), Buffer.from('no reading')].map((Data) => ({
          PartitionKey: 'k',
          Data,
        })),
      }),
    );
    const environment = { LOCAL_KINESIS_PORT: String(port) };
    const lines = startProduct(t, 'cli/main', environment, { args: ['tail', '--from', 'oldest', '--count', '3'] });
    assert.equal(await lines.ended, 0);
    assert.deepEqual(
      lines
        .output()
        .split('\n')
        .filter((line) => /bpm|^\?/.test(line)),
      [
        '2026-11-22T19:00:00.123Z   61 bpm  tickr-123456  seq 1',
        '2026-11-22T19:00:00.123Z   62 bpm  tickr-123456  seq 2',
        '?  no reading',
      ],
    );
    const json = startProduct(t, 'cli/main', environment, { args: ['tail', '--from', 'oldest', '--json'] });
    await eventually(() => json.lines().length === 2);
    assert.deepEqual(
      json.lines(),
      [1, 2].map((seq) => JSON.parse(readingOf(seq).toString()) as object),
    );
    assert.equal(await json.end('SIGINT'), 130);
  });
});
