import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { REQUEST_RATES, RequestRates } from '../../local-kinesis/request-rates.ts';
import { requests } from '../../local-kinesis/wire/requests.ts';
import { startLocalStream } from '../support/local-stream.ts';
import { askJson, typeOf } from './support/raw.ts';

/** Of shards, in limits.ts. */
const SHARD_LIMITED = new Set(['PutRecord', 'PutRecords', 'GetRecords']);

/** What the API reference says of rates, in the SDK's own documentation: operation, number and what it counts for. */
function documentedRates(): Map<string, [number, string]> {
  const folder = path.join(
    path.dirname(fileURLToPath(import.meta.resolve('@aws-sdk/client-kinesis/package.json'))),
    'dist-types/commands',
  );
  const numbers: Readonly<Record<string, number>> = { one: 1, five: 5 };
  const rates = new Map<string, [number, string]>();
  for (const file of readdirSync(folder).filter((name) => name.endsWith('Command.d.ts'))) {
    const words = readFileSync(path.join(folder, file), 'utf8').replace(/\s*\n \* */g, ' ');
    const [, number = '', of = ''] =
      /limit of (\w+) transactions? per second per (account per open shard|account|data stream|stream|shard)/.exec(words) ?? [];
    const [, most = ''] = /Make over (\d+) TPS/.exec(words) ?? [];
    const per = { 'data stream': 'stream', 'account per open shard': 'shard' }[of] ?? of;
    const operation = file.replace('Command.d.ts', '');
    if (number !== '') rates.set(operation, [numbers[number] ?? Number(number), per]);
    else if (most !== '') rates.set(operation, [Number(most), 'account']);
  }
  return rates;
}

test('the rates are those of the API reference', () => {
  const documented = documentedRates();
  assert.ok(documented.size > 15, `${documented.size} operations have a documented rate`);
  for (const operation of Object.keys(requests)) {
    const rate = documented.get(operation);
    if (rate === undefined || SHARD_LIMITED.has(operation)) continue;
    const ours = REQUEST_RATES[operation as keyof typeof REQUEST_RATES] as { perSecond: number; per: string } | undefined;
    assert.deepEqual([ours?.perSecond, ours?.per], rate, operation);
  }
});

test('a second admits as many calls as the rate, however they are spread, and each stream and shard has its own', () => {
  let nowMs = 0;
  const rates = new RequestRates({ now: () => nowMs });
  const admitted = (calls: number, count: () => void): number => {
    let sum = 0;
    for (let call = 0; call < calls; call += 1)
      try {
        count();
        sum += 1;
      } catch {
        // Refused.
      }
    return sum;
  };
  assert.equal(
    admitted(2000, () => rates.countStreamCall('ListShards', 'a')),
    1000,
  );
  assert.equal(
    admitted(2000, () => rates.countStreamCall('ListShards', 'b')),
    1000,
  );
  assert.equal(
    admitted(9, () => rates.countShardCall('GetShardIterator', 'a', 'shardId-0')),
    5,
  );
  assert.equal(
    admitted(9, () => rates.countShardCall('GetShardIterator', 'a', 'shardId-1')),
    5,
  );
  assert.equal(
    admitted(90, () => rates.countAccountCall('DescribeStreamSummary')),
    20,
  );
  nowMs += 250;
  assert.equal(
    admitted(90, () => rates.countAccountCall('DescribeStreamSummary')),
    5,
  );
  nowMs += 60_000;
  assert.equal(
    admitted(90, () => rates.countAccountCall('DescribeStreamSummary')),
    20,
  );
});

test('LOCAL_KINESIS_LIMITS=false lifts the rates', async (t) => {
  const { endpoint } = await startLocalStream(t, { LOCAL_KINESIS_LIMITS: 'false' });
  const answers = await Promise.all(Array.from({ length: 50 }, async () => await askJson(endpoint, 'ListStreams', {})));
  assert.deepEqual([...new Set(answers.map(typeOf))], ['none']);
});
