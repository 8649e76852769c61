/** A start with a large outbox on disk, in files of this version and of 1.0.0: what blocks the event loop. */
import assert from 'node:assert/strict';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { TestContext } from 'node:test';
import { encodeBlock, encodeFooter, encodeHeader, encodeLine } from '../../../outbox/spill-lines.ts';
import { eventually } from '../../support/eventually.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { DiskBench } from './disk-bench.ts';
import { FaultyDisk } from './faulty-disk.ts';

const FILE_BYTES = 4 * 1024 * 1024;
/** Pieces are 256 KiB (outbox/spill-file.ts), and two of them are often read side by side; a quarter of a file is too much in any case. */
const READ_PER_TURN_MAX = 1024 * 1024;

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

/** Bytes that the outbox reads, and so parses, within one turn of the event loop: what blocks it, on a machine of any speed. */
class ReadPerTurn {
  #bytes = 0;
  #total = 0;
  #most = 0;

  readonly add = (bytes: number): void => {
    if (this.#bytes === 0) setImmediate(() => (this.#bytes = 0));
    this.#bytes += bytes;
    this.#total += bytes;
    this.#most = Math.max(this.#most, this.#bytes);
  };

  get total(): number {
    return this.#total;
  }

  get most(): number {
    return this.#most;
  }
}

interface LargeStart {
  read: ReadPerTurn;
  /** The longest delay of the event loop from the start until 20,000 readings are delivered. */
  longestDelayMs: number;
}

async function startOn(t: TestContext, folder: string, run: string, last: number): Promise<LargeStart> {
  const disk = new FaultyDisk();
  const read = new ReadPerTurn();
  disk.onRead = read.add;
  const bench = new DiskBench(t, { folder, memoryMax: 10_000, maxBytes: 1024 ** 3, disk });
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
  return { read, longestDelayMs: delay.max / 1e6 };
}

/** Starts with so many files of 4 MiB, half of them of 1.0.0; checks what is read within a turn, and returns the longest delay. */
export async function startWithLargeOutbox(t: TestContext, files: number): Promise<number> {
  const folder = path.join(tempDir(t), 'outbox');
  mkdirSync(folder);
  const run = '1'.repeat(16);
  const last = writeRun(folder, run, files / 2, true);
  writeRun(folder, '2'.repeat(16), files / 2, false);
  const { read, longestDelayMs } = await startOn(t, folder, run, last);
  t.diagnostic(`read ${read.total} bytes, at most ${read.most} in a turn; longest delay ${Math.round(longestDelayMs)} ms`);
  assert.ok(read.total > FILE_BYTES, `read only ${read.total} bytes`);
  assert.ok(read.most <= READ_PER_TURN_MAX, `read ${read.most} bytes within one turn of the event loop`);
  rmSync(folder, { recursive: true, force: true });
  return longestDelayMs;
}
