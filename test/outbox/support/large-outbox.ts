/** A start with a large outbox on disk, in files of this version and of 1.0.0: how long the event loop is blocked. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { TestContext } from 'node:test';
import { decodeLine, encodeBlock, encodeFooter, encodeHeader, encodeLine } from '../../../outbox/spill-lines.ts';
import { eventually } from '../../support/eventually.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { DiskBench } from './disk-bench.ts';

const FILE_BYTES = 4 * 1024 * 1024;
/** Of the time that reading all files in one go takes on this machine, as loaded as it is now. */
const BLOCKED_MAX_SHARE = 0.5;

const LINE_BYTES = encodeLine({ seq: 1_000_000, payload: '' }).length;

/** Writes `files` files of 4 MiB of one run; returns its last seq. */
function writeRun(folder: string, run: string, files: number, isVersion1: boolean): number {
  const filler = 'x'.repeat(400);
  let last = 0;
  for (let index = 1; index <= files; index += 1) {
    const prev = last;
    const lines: string[] = [];
    for (let bytes = 0; bytes < FILE_BYTES;) {
      last += 1;
      const identity = `"gateway":"box","run":"${run}","seq":${last}`;
      const payload = `{"timestamp":"2026-11-22T19:00:00.123Z","heart_rate":72,"device":"d",${identity},"x":"${filler}"}`;
      lines.push(encodeLine({ seq: last, payload }));
      bytes += payload.length + LINE_BYTES;
    }
    const first = prev + 1;
    const [head, tail] = isVersion1
      ? ['', '']
      : [
          encodeHeader({ gateway: 'box', run, may_have_sent: last + 10_000, prev, first }) +
            encodeBlock({ prev, from: first, to: last }),
          encodeFooter({ first, last, count: lines.length, may_have_sent: last + 10_000 }),
        ];
    writeFileSync(path.join(folder, `${run}-${String(index).padStart(8, '0')}.spill`), head + lines.join('') + tail);
  }
  return last;
}

/** How long the event loop would be blocked if all files were read in one go, in milliseconds. */
function inOneGo(folder: string): number {
  const startedAt = performance.now();
  for (const name of readdirSync(folder))
    for (const line of readFileSync(path.join(folder, name), 'utf8').split('\n')) decodeLine(line);
  return performance.now() - startedAt;
}

/** The longest delay of the event loop from the start until 20,000 readings are delivered, in milliseconds. */
async function longestDelay(t: TestContext, folder: string, run: string, last: number): Promise<number> {
  const bench = new DiskBench(t, { folder, memoryMax: 10_000, maxBytes: 1024 ** 3 });
  const delay = monitorEventLoopDelay({ resolution: 10 });
  delay.enable();
  await bench.outbox.start();
  bench.outbox.up();
  await bench.add(100);
  await eventually(() => bench.outbox.watermark === 100, { what: 'new readings do not wait for old ones', withinMs: 10_000 });
  await eventually(() => (bench.forwarder.stored.get(run)?.length ?? 0) >= Math.min(last, 20_000), { withinMs: 60_000 });
  delay.disable();
  bench.outbox.down();
  await bench.outbox.stop();
  return delay.max / 1e6;
}

/** Half of the files are of 1.0.0. The median of several starts counts: the machine may be busy. */
export async function largeOutboxStarts(t: TestContext, files: number, starts: number): Promise<void> {
  const delays: number[] = [];
  const blocking: number[] = [];
  for (let start = 0; start < starts; start += 1) {
    const folder = path.join(tempDir(t), 'outbox');
    mkdirSync(folder);
    const run = '1'.repeat(16);
    const last = writeRun(folder, run, files / 2, true);
    writeRun(folder, '2'.repeat(16), files / 2, false);
    blocking.push(inOneGo(folder));
    delays.push(await longestDelay(t, folder, run, last));
    rmSync(folder, { recursive: true, force: true });
  }
  const medianOf = (times: readonly number[]): number => times.toSorted((a, b) => a - b)[Math.floor(starts / 2)] ?? 0;
  const median = medianOf(delays);
  const limit = medianOf(blocking) * BLOCKED_MAX_SHARE;
  t.diagnostic(`longest delays of the event loop: ${delays.map((ms) => Math.round(ms)).join(', ')} ms`);
  assert.ok(median < limit, `blocked for ${Math.round(median)} ms, more than ${Math.round(limit)}`);
}
