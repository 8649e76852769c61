import assert from 'node:assert/strict';
import { describe, test, type TestContext } from 'node:test';
import { ListShardsCommand, MergeShardsCommand, SplitShardCommand, type KinesisClient } from '@aws-sdk/client-kinesis';
import { connectAsync } from 'mqtt';
import { readStream, type Checkpoint } from '../../cloud/reader/read-stream.ts';
import type { IncomingReading } from '../../contract/reading.ts';
import type { Ledger } from '../../contract/forwarder-status.ts';
import { parseServiceStatus } from '../../contract/service-status.ts';
import { ForwarderService } from '../../forwarder/service.ts';
import { GatewayService } from '../../gateway/service.ts';
import { readOrCreateSecret } from '../../service/storage/data-dir.ts';
import { eventually } from '../support/eventually.ts';
import { startLocalStream, type LocalStream } from '../support/local-stream.ts';
import { startProduct, type ProductProcess } from '../support/product-process.ts';
import { tempDir } from '../support/temp-dir.ts';
import { testConfig, testLog } from '../support/test-config.ts';

const LAW_OF_ORDER = { records: '', aggregated: ' and each device stays in order' };

const StreamName = 'hr-data-stream';
const STRAPS = 40;

/** Forty simulated straps, the real chain behind them, and the local stream; the forwarder's ledger as it reports it. */
async function startChain(
  t: TestContext,
  mode: 'records' | 'aggregated',
): Promise<{ stream: LocalStream; bridge: ProductProcess; ledger: () => (Ledger & { at: number }) | undefined }> {
  const stream = await startLocalStream(t);
  const folder = tempDir(t);
  const base = testConfig({ DATA_DIR: folder });
  const gateway = new GatewayService({ config: base, log: testLog(base) });
  t.after(() => gateway.stop());
  await gateway.start();
  const MQTT_URL = `mqtt://127.0.0.1:${gateway.mqttPort}`;
  const config = testConfig({ DATA_DIR: folder, MQTT_URL, LOCAL_KINESIS_PORT: String(stream.port), KINESIS_MODE: mode });
  const forwarder = new ForwarderService({ config, log: testLog(config) });
  t.after(() => forwarder.stop());
  await forwarder.start();
  let ledger: (Ledger & { at: number }) | undefined;
  const ears = await connectAsync(MQTT_URL, {
    username: 'admin-api',
    password: readOrCreateSecret(base, 'admin-api'),
    protocolVersion: 4,
    reconnectPeriod: 0,
  });
  t.after(() => ears.end(true));
  ears.on('message', (_, payload) => {
    const status = parseServiceStatus(payload);
    if (status.ok && status.value.forwarder !== undefined)
      ledger = { ...status.value.forwarder.ledger, at: Date.parse(status.value.as_of ?? '') };
  });
  await ears.subscribeAsync('edge/test-box/forwarder/status');
  const bridge = startProduct(t, 'ble-bridge/main', {
    DATA_DIR: folder,
    MQTT_URL,
    GATEWAY_NAME: 'test-box',
    BLE_SOURCE: 'simulated',
    SIMULATED_STRAPS: String(STRAPS),
  });
  return { stream, bridge, ledger: () => ledger };
}

async function openShards(client: KinesisClient): Promise<{ id: string; start: bigint; end: bigint }[]> {
  const { Shards = [] } = await client.send(new ListShardsCommand({ StreamName }));
  return Shards.filter(({ SequenceNumberRange }) => SequenceNumberRange?.EndingSequenceNumber === undefined)
    .map(({ ShardId = '', HashKeyRange }) => ({
      id: ShardId,
      start: BigInt(HashKeyRange?.StartingHashKey ?? 0),
      end: BigInt(HashKeyRange?.EndingHashKey ?? 0),
    }))
    .sort((a, b) => (a.start < b.start ? -1 : 1));
}

async function split(client: KinesisClient, index: number): Promise<void> {
  const shard = (await openShards(client))[index];
  assert.ok(shard);
  await client.send(
    new SplitShardCommand({
      StreamName,
      ShardToSplit: shard.id,
      NewStartingHashKey: ((shard.start + shard.end) / 2n).toString(),
    }),
  );
}

async function merge(client: KinesisClient, index: number): Promise<void> {
  const [left, right] = (await openShards(client)).slice(index, index + 2);
  await client.send(new MergeShardsCommand({ StreamName, ShardToMerge: left?.id, AdjacentShardToMerge: right?.id }));
}

const ascending = (numbers: number[]): number[] => numbers.toSorted((a, b) => a - b);

describe('resharding', { concurrency: true }, () => {
  for (const mode of ['records', 'aggregated'] as const)
    test(`${mode}: through splits, merges and restarts from the checkpoint no reading is missing${LAW_OF_ORDER[mode]}`, async (t) => {
      const { stream, bridge, ledger } = await startChain(t, mode);
      const { client } = stream;
      const readings: IncomingReading[] = [];
      const shards = new Set<string>();
      const checkpoint: Checkpoint = {};
      const readUntil = async (signal: AbortSignal): Promise<void> => {
        for await (const { reading, shardId } of readStream(client, {
          from: 'oldest',
          checkpoint,
          signal,
          pollMs: 50,
          recordsPerRead: 10,
        })) {
          assert.ok(reading);
          readings.push(reading);
          shards.add(shardId);
        }
      };
      // Every strap's next reading is shipped, so that each open shard has some; and the reader, which lags behind, has read some.
      const more = async (): Promise<void> => {
        const before = { read: readings.length, shipped: ledger()?.shipped ?? 0 };
        await eventually(
          () => readings.length >= before.read + STRAPS && (ledger()?.shipped ?? 0) >= before.shipped + 2 * STRAPS,
          {
            withinMs: 60_000,
            what: `readings after ${before.read}`,
          },
        );
      };

      const first = new AbortController();
      let reader = readUntil(first.signal);
      await more();
      await split(client, 0);
      await more();
      await split(client, 1);
      await more();
      first.abort();
      await reader;
      // Nobody reads while the stream is merged.
      await merge(client, 0);
      const shipped = ledger()?.shipped ?? 0;
      await eventually(() => (ledger()?.shipped ?? 0) > shipped + 2 * STRAPS, { withinMs: 60_000 });
      const second = new AbortController();
      reader = readUntil(second.signal);
      await more();
      await merge(client, 0);
      await more();
      await split(client, 0);
      await more();
      assert.equal(await bridge.end(), 0);
      const endedAt = Date.now();
      // A status written after the bridge's end: all that it had is accepted by then.
      const total = await eventually(() => {
        const now = ledger();
        return now !== undefined && now.at > endedAt && now.accepted === now.shipped && now.shipped;
      });
      await eventually(() => readings.length >= total, { withinMs: 60_000, what: `${total} readings` });
      second.abort();
      await reader;

      assert.equal((await openShards(client)).length, 2);
      assert.equal(shards.size, 9);
      assert.deepEqual(
        ascending([...new Set(readings.map(({ seq = 0 }) => seq))]),
        Array.from({ length: total }, (_, index) => index + 1),
      );
      const devices = new Set(readings.map(({ device = '' }) => device));
      assert.equal(devices.size, STRAPS);
      if (mode === 'aggregated')
        for (const device of devices) {
          const seqs = readings.flatMap((reading) => (reading.device === device ? [reading.seq ?? 0] : []));
          assert.deepEqual(seqs, ascending(seqs), device);
        }
    });
});
