/** The Kinesis Client Library, with leases in moto's DynamoDB, on a stream that is resharded before it starts and while it runs. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  ListShardsCommand,
  MergeShardsCommand,
  PutRecordsCommand,
  SplitShardCommand,
  UpdateShardCountCommand,
  type KinesisClient,
} from '@aws-sdk/client-kinesis';
import { cloudPython, startMoto } from '../cloud/support/moto.ts';
import { cannotRun } from '../support/cannot-run.ts';
import { startLocalStream } from '../support/local-stream.ts';
import { javaConsumers, KCL_VERSIONS } from './support/java-consumers.ts';

const StreamName = 'hr-data-stream';
const KEYS = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
/** A new worker waits up to two minutes for the leadership of one that was killed; nothing else takes the KCL so long. */
const STALLED_MS = 180_000;

class Consumer {
  /** Numbers in the order of processing, by partition key. */
  readonly seen = new Map<string, number[]>();
  /** Shards as they began and ended. */
  readonly #shards: string[] = [];
  #progressAtMs = performance.now();
  readonly #stop: () => Promise<void>;
  log = '';

  constructor(t: TestContext, classPath: string, args: string[]) {
    const child = spawn('java', ['-Xmx256m', '-cp', classPath, 'consumers.KclConsumer', ...args], { stdio: 'pipe' });
    const ended = new Promise((resolve) => child.once('exit', resolve));
    createInterface({ input: child.stdout }).on('line', (line) => {
      const [kind = '', shard = '', key = '', text = ''] = line.split('\t');
      this.#progressAtMs = performance.now();
      if (kind === 'record') this.seen.set(key, [...(this.seen.get(key) ?? []), Number(text)]);
      else this.#shards.push(`${kind} ${Number(shard.split('-')[1])}`);
    });
    child.stderr.on('data', (chunk: Buffer) => void (this.log = (this.log + chunk.toString()).slice(-20_000)));
    this.#stop = async () => {
      child.stdin.end();
      const limit = setTimeout(() => child.kill('SIGKILL'), 60_000);
      await ended;
      clearTimeout(limit);
    };
    t.after(async () => {
      child.kill('SIGKILL');
      await ended;
    });
  }

  async stop(): Promise<void> {
    await this.#stop();
  }

  /** Resolves once `count` different records were processed; fails if the KCL stalls. */
  async processed(count: number): Promise<void> {
    const seen = (): number => [...this.seen.values()].reduce((sum, numbers) => sum + new Set(numbers).size, 0);
    this.#progressAtMs = performance.now();
    while (seen() < count) {
      if (performance.now() - this.#progressAtMs > STALLED_MS)
        throw new Error(`the KCL stalled at ${seen()} of ${count} records; ${this.#shards.join(', ')}:\n${this.log}`);
      await sleep(250);
    }
  }

  /** Fails unless each key's records were processed in order. A record may come again after a lease was lost. */
  checkOrder(): void {
    for (const [key, numbers] of this.seen) {
      const first = [...new Set(numbers)];
      assert.deepEqual(
        first,
        first.toSorted((a, b) => a - b),
        `records of ${key} are processed in order`,
      );
    }
  }
}

class Producer {
  readonly #client: KinesisClient;
  count = 0;

  constructor(client: KinesisClient) {
    this.#client = client;
  }

  async put(): Promise<void> {
    for (let round = 0; round < 5; round += 1)
      await this.#client.send(
        new PutRecordsCommand({
          StreamName,
          Records: KEYS.map((PartitionKey) => ({ PartitionKey, Data: Buffer.from(`${(this.count += 1)}\n`) })),
        }),
      );
  }

  async #open(): Promise<{ id: string | undefined; start: bigint; end: bigint }[]> {
    const { Shards = [] } = await this.#client.send(new ListShardsCommand({ StreamName, ShardFilter: { Type: 'AT_LATEST' } }));
    return Shards.map(({ ShardId, HashKeyRange }) => ({
      id: ShardId,
      start: BigInt(HashKeyRange?.StartingHashKey ?? 0),
      end: BigInt(HashKeyRange?.EndingHashKey ?? 0),
    })).sort((a, b) => (a.start < b.start ? -1 : 1));
  }

  /** Splits, scales to a number that is neither double nor half, merges. Puts records after each. */
  async *reshard(): AsyncGenerator<void> {
    const [whole] = await this.#open();
    const middle = ((whole?.start ?? 0n) + (whole?.end ?? 0n)) / 2n;
    await this.#client.send(
      new SplitShardCommand({ StreamName, ShardToSplit: whole?.id, NewStartingHashKey: middle.toString() }),
    );
    await this.put();
    yield;
    const TargetShardCount = (await this.#open()).length + 1;
    await this.#client.send(new UpdateShardCountCommand({ StreamName, TargetShardCount, ScalingType: 'UNIFORM_SCALING' }));
    await this.put();
    yield;
    const [low, high] = await this.#open();
    await this.#client.send(new MergeShardsCommand({ StreamName, ShardToMerge: low?.id, AdjacentShardToMerge: high?.id }));
    await this.put();
    yield;
  }
}

async function prepared(
  t: TestContext,
  kcl: (typeof KCL_VERSIONS)[number],
): Promise<{ classPath: string; client: KinesisClient; args: string[] } | undefined> {
  const [python, classPath] = [await cloudPython(), await javaConsumers(kcl)];
  if (python === undefined || classPath === undefined) return undefined;
  const { client, endpoint } = await startLocalStream(t, { LOCAL_KINESIS_LIMITS: 'false' });
  return { classPath, client, args: [endpoint, await startMoto(t, python), StreamName, 'app'] };
}
const MISSING = 'Java, Maven, Python or their registries are missing';

for (const kcl of KCL_VERSIONS) {
  test(`KCL ${kcl} follows splits, merges and scaling while it runs: each record is processed, those of a key in order`, async (t) => {
    const parts = await prepared(t, kcl);
    if (parts === undefined) return cannotRun(t, MISSING);
    const producer = new Producer(parts.client);
    await producer.put();
    const consumer = new Consumer(t, parts.classPath, parts.args);
    await consumer.processed(producer.count);
    for await (const _ of producer.reshard()) await consumer.processed(producer.count);
    consumer.checkOrder();
    await consumer.stop();
  });

  test(`KCL ${kcl} starts on a stream that was resharded, and again after it was resharded without it`, async (t) => {
    const parts = await prepared(t, kcl);
    if (parts === undefined) return cannotRun(t, MISSING);
    const producer = new Producer(parts.client);
    await producer.put();
    for await (const _ of producer.reshard()) continue;
    const first = new Consumer(t, parts.classPath, parts.args);
    await first.processed(producer.count);
    first.checkOrder();
    await first.stop();
    const before = producer.count;
    for await (const _ of producer.reshard()) continue;
    const second = new Consumer(t, parts.classPath, parts.args);
    await second.processed(producer.count - before);
    second.checkOrder();
    const all = new Set([first, second].flatMap(({ seen }) => [...seen.values()].flat()));
    assert.equal(all.size, producer.count);
    await second.stop();
  });
}
