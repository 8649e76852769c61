/** A large damaged queue, salvaged in a process of its own. */
import { spawnSync } from 'node:child_process';
import { closeSync, openSync, statSync, writeSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { LedgerState } from '../../../../forwarder/queue/ledger.ts';
import { tempDir } from '../../../support/temp-dir.ts';
import { appendOf, fileOf, openFile } from './queue-files.ts';

const script = fileURLToPath(new URL('open-and-report.ts', import.meta.url));
const PER_COMMIT = 5000;

export interface LargeSalvage {
  state: LedgerState;
  rssMiB: number;
  seconds: number;
}

/** Fills a queue in the folder, and damages pages in its middle. */
export function damagedQueue(folder: string, rows: number): void {
  const queue = openFile(folder, { maxBytes: 8 * 1024 ** 3 });
  for (let from = 1; from <= rows; from += PER_COMMIT) queue.commit([appendOf(from, PER_COMMIT)]);
  queue.close();
  const file = fileOf(folder);
  const { size } = statSync(file);
  const fd = openSync(file, 'r+');
  for (const part of [0.3, 0.5, 0.7]) writeSync(fd, Buffer.alloc(5000, 0xee), 0, 5000, Math.floor(size * part));
  closeSync(fd);
}

/** Opens a large damaged queue with a heap of at most `heapMiB`. Throws if that process fails. */
export function salvageLarge(t: TestContext, rows: number, heapMiB: number): LargeSalvage {
  const folder = tempDir(t);
  damagedQueue(folder, rows);
  const startedAt = performance.now();
  const args = [`--max-old-space-size=${heapMiB}`, '--import', 'tsx', script, folder];
  const child = spawnSync(process.execPath, args, { encoding: 'utf8', maxBuffer: 1e8 });
  if (child.status !== 0) throw new Error(`ended with ${child.status ?? child.signal}: ${child.stderr.slice(-2000)}`);
  const seconds = Math.round((performance.now() - startedAt) / 100) / 10;
  return { ...(JSON.parse(child.stdout) as Pick<LargeSalvage, 'state' | 'rssMiB'>), seconds };
}
