/** A large damaged queue, salvaged in a process of its own. */
import { spawnSync } from 'node:child_process';
import { closeSync, openSync, rmSync, statSync, writeSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { LedgerState } from '../../../../forwarder/queue/ledger.ts';
import { PAGE_BYTES } from '../../../../forwarder/queue/schema.ts';
import { openDatabase } from '../../../../service/storage/sqlite.ts';
import { tempDir } from '../../../support/temp-dir.ts';
import { appendOf, copyOf, fileOf, openFile } from './queue-files.ts';

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

/** Bytes that a log has before its frames, and in front of each page. */
const [WAL_HEADER, FRAME_HEADER] = [32, 24];

/**
 * As a kill leaves a queue whose log another process kept from being written back: half of the rows in the file, half in the log, of
 * which one frame is damaged. A salvage reads three sources, two of which hold nearly all rows.
 */
export function queueInTwoSources(t: TestContext, folder: string, rows: number): void {
  const from = tempDir(t);
  const queue = openFile(from, { maxBytes: 8 * 1024 ** 3 });
  const half = Math.floor(rows / 2 / PER_COMMIT) * PER_COMMIT;
  for (let first = 1; first <= half; first += PER_COMMIT) queue.commit([appendOf(first, PER_COMMIT)]);
  queue.checkpoint();
  const reader = openDatabase(fileOf(from), { readonly: true });
  reader.exec('BEGIN');
  reader.prepare('SELECT count(*) FROM state').get();
  for (let first = half + 1; first <= rows; first += PER_COMMIT) queue.commit([appendOf(first, PER_COMMIT)]);
  copyOf(from, folder);
  reader.exec('COMMIT');
  reader.close();
  queue.close();
  rmSync(from, { recursive: true });
  const log = `${fileOf(folder)}-wal`;
  const frame = FRAME_HEADER + PAGE_BYTES;
  const at = WAL_HEADER + Math.floor((statSync(log).size - WAL_HEADER) / frame / 2) * frame + FRAME_HEADER;
  const fd = openSync(log, 'r+');
  writeSync(fd, Buffer.alloc(PAGE_BYTES, 0xee), 0, PAGE_BYTES, at);
  closeSync(fd);
}

/** Opens a large damaged queue with a heap of at most `heapMiB`. Throws if that process fails. */
export function salvageLarge(t: TestContext, rows: number, heapMiB: number, sources: 1 | 3 = 1): LargeSalvage {
  const folder = tempDir(t);
  if (sources === 1) damagedQueue(folder, rows);
  else queueInTwoSources(t, folder, rows);
  const startedAt = performance.now();
  const args = [`--max-old-space-size=${heapMiB}`, '--max-semi-space-size=1', '--import', 'tsx', script, folder];
  const child = spawnSync(process.execPath, args, { encoding: 'utf8', maxBuffer: 1e8 });
  if (child.status !== 0) throw new Error(`ended with ${child.status ?? child.signal}: ${child.stderr.slice(-2000)}`);
  const seconds = Math.round((performance.now() - startedAt) / 100) / 10;
  return { ...(JSON.parse(child.stdout) as Pick<LargeSalvage, 'state' | 'rssMiB'>), seconds };
}
