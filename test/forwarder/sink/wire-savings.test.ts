/** The table of docs/kinesis.md that says what a reading costs on the wire, measured. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { startDrain } from '../drain/support/drain-bench.ts';
import { sharedStream } from '../../support/local-stream.ts';
import { readSource } from '../../support/source-tree.ts';

const unlimited = sharedStream();
const STRAPS = 10;
/** With seq and device, a reading has about 230 bytes, as those of straps do. */
const TEXT = 'x'.repeat(194);
const ROUNDS = 5;

interface Case {
  /** First cell of its row. */
  name: string;
  /** Readings that wait when a request is composed. */
  atOnce: number;
}

const CASES: readonly Case[] = [
  { name: 'each second (`KINESIS_LINGER_MS=0`)', atOnce: STRAPS },
  { name: 'every 10 s (`KINESIS_LINGER_MS=10000`)', atOnce: 10 * STRAPS },
  { name: 'a backlog', atOnce: 5000 },
];

async function bytesPerReading(t: TestContext, mode: string, atOnce: number): Promise<number> {
  const bench = await startDrain(t, await unlimited(), {
    shards: 4,
    // All of a round is committed before a request is composed, as it is after `KINESIS_LINGER_MS`.
    environment: { KINESIS_MODE: mode, QUEUE_COMMIT_INTERVAL_MS: '0', ...(atOnce > STRAPS ? { KINESIS_LINGER_MS: '200' } : {}) },
  });
  bench.add(50, STRAPS, TEXT);
  await bench.settled(50);
  const before = bench.drain.metrics.wireBytes();
  for (let round = 1; round <= ROUNDS; round += 1) {
    bench.add(atOnce, STRAPS, TEXT);
    await bench.settled(50 + round * atOnce);
  }
  const after = bench.drain.metrics.wireBytes();
  await bench.stop();
  return (after.sent + after.received - before.sent - before.received) / (ROUNDS * atOnce);
}

const cellsOf = (name: string): number[] => {
  const row = readSource('docs/kinesis.md')
    .split('\n')
    .find((line) => line.startsWith(`| ${name} |`));
  return (row ?? '').split('|').slice(2, 4).map(Number);
};

for (const { name, atOnce } of CASES)
  test(`docs/kinesis.md says what a reading costs on the wire, sent ${name}`, async (t) => {
    const measured = [await bytesPerReading(t, 'records', atOnce), await bytesPerReading(t, 'aggregated', atOnce)];
    t.diagnostic(`${name}: ${measured.map((bytes) => bytes.toFixed(0)).join(' B, aggregated ')} B a reading`);
    const documented = cellsOf(name);
    for (const [index, bytes] of measured.entries()) {
      const said = documented[index] ?? 0;
      assert.ok(Math.abs(bytes - said) <= 0.15 * bytes, `documented: ${documented.join(', ')}; measured: ${measured.join(', ')}`);
    }
  });
