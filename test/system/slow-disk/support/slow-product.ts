/** All services in one process on a disk with slow syncs. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { getJson, startOneProcess, type QueueAnswer } from '../../pipeline/support/one-process.ts';
import { eventually } from '../../../support/eventually.ts';
import { tempDir } from '../../../support/temp-dir.ts';

const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

/** Compiles the library that slows syncs down. Undefined without gcc: the test then skips, or fails if CI is true. */
function slowFsync(folder: string): string | undefined {
  const library = path.join(folder, 'slow-fsync.so');
  const compiled = spawnSync('gcc', ['-shared', '-fPIC', '-O1', '-o', library, here('./slow-fsync.c'), '-ldl']);
  if (compiled.status === 0) return library;
  if (process.env['CI'] === 'true')
    throw new Error(`slow-fsync.c cannot be compiled: ${compiled.error?.message ?? String(compiled.stderr)}`);
  return undefined;
}

interface LoopDelay {
  p50: number;
  p99: number;
  max: number;
  samples: number;
}

export interface SlowRun {
  /** Event loop delay before syncs were slow: that of the machine itself. */
  before: LoopDelay;
  /** Event loop delay while syncs were slow. */
  loop: LoopDelay;
  syncs: number;
  /** Files that were synced on the main thread. */
  onMainThread: string[];
  accepted: number;
  healthMs: number[];
}

/**
 * Runs `npm start` with `straps` simulated straps. Once it runs, every sync takes `ms` longer, for `seconds` and until at least this many
 * commits are done. Undefined if this machine cannot run it.
 */
export async function runSlow(
  t: TestContext,
  { ms, straps, seconds }: { ms: number; straps: number; seconds: number },
): Promise<SlowRun | undefined> {
  const folder = tempDir(t);
  const library = slowFsync(folder);
  if (library === undefined) return undefined;
  const [delayFile, log, loopFile] = ['delay', 'syncs', 'loop'].map((name) => path.join(folder, name)) as [
    string,
    string,
    string,
  ];
  const product = startOneProcess(
    t,
    tempDir(t),
    // A small outbox memory, so that readings are spilled too.
    {
      LD_PRELOAD: library,
      SLOW_FSYNC_FILE: delayFile,
      SLOW_FSYNC_LOG: log,
      LOOP_DELAY_FILE: loopFile,
      BLE_SOURCE: 'simulated',
      SIMULATED_STRAPS: String(straps),
      OUTBOX_MEMORY: '100',
    },
    { nodeArgs: ['--import', here('./loop-delay.mjs')] },
  );
  const { admin } = await product.addresses();
  const accepted = async (): Promise<number> => (await getJson<QueueAnswer>(`${admin}/queue`)).ledger.accepted;
  await eventually(async () => (await accepted()) > 10, { withinMs: 60_000 });
  const loopDelay = (): LoopDelay => JSON.parse(readFileSync(loopFile, 'utf8')) as LoopDelay;
  process.kill(product.pid, 'SIGUSR2');
  await sleep(seconds * 250);
  const quiet = loopDelay();
  writeFileSync(delayFile, String(ms));
  process.kill(product.pid, 'SIGUSR2');
  const before = await accepted();
  const healthMs: number[] = [];
  const end = performance.now() + seconds * 1000;
  await eventually(
    async () => {
      const startedAt = performance.now();
      await getJson(`${admin}/health`);
      healthMs.push(Math.round(performance.now() - startedAt));
      return performance.now() > end && (await accepted()) > before + straps;
    },
    { withinMs: 120_000, everyMs: 100 },
  );
  const loop = loopDelay();
  const lines = existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n') : [];
  const run = {
    before: quiet,
    loop,
    syncs: lines.length,
    onMainThread: lines.filter((line) => line.startsWith('main ')),
    accepted: (await accepted()) - before,
    healthMs,
  };
  writeFileSync(delayFile, '0');
  assert.equal(await product.end(), 0);
  return run;
}

export const summary = ({ before, loop, syncs, accepted, healthMs }: SlowRun): string =>
  `event loop delay p50 ${loop.p50.toFixed(1)} ms, p99 ${loop.p99.toFixed(1)} ms, max ${loop.max.toFixed(1)} ms ` +
  `(p99 ${before.p99.toFixed(1)} ms before syncs were slow); ${accepted} readings accepted over ${syncs} syncs; ` +
  `GET /health at most ${Math.max(...healthMs)} ms`;
