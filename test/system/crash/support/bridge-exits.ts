/** Bridges without a broker, and what they leave on disk when they end. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { decodeLines } from '../../../../outbox/spill-lines.ts';
import { startProduct } from '../../../support/product-process.ts';

/** A bridge with simulated straps, no broker and no watchdog. */
export const bridgeEnvironment = (folder: string): Record<string, string> => ({
  DATA_DIR: folder,
  MQTT_URL: 'mqtt://127.0.0.1:1',
  BLE_SOURCE: 'simulated',
  WATCHDOG_TIMEOUT_MS: '0',
});

/** The number of readings in a bridge's spill files; asserts that they are all from the first to the last. */
export function spilledReadings(folder: string): number {
  const outbox = path.join(folder, 'outbox');
  if (!existsSync(outbox)) return 0;
  const seqs = readdirSync(outbox, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .flatMap((entry) => decodeLines(readFileSync(path.join(entry.parentPath, entry.name), 'utf8')).map(({ seq }) => seq))
    .filter((seq) => seq > 0)
    .toSorted((a, b) => a - b);
  assert.deepEqual(
    seqs,
    seqs.map((_, at) => at + 1),
  );
  return seqs.length;
}

const isRunning = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  // A process that nobody waits for stays as a zombie.
  return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
};

/** Starts a process that supervises a bridge; both are killed after the test. */
export async function superviseBridge(t: TestContext, folder: string): Promise<{ pid: number; bridgeRuns(): boolean }> {
  const parent = startProduct(t, 'test/system/crash/support/supervisor', bridgeEnvironment(folder));
  const child = Number((await parent.event('supervising'))['child']);
  t.after(() => {
    if (isRunning(child)) process.kill(child, 'SIGKILL');
  });
  await parent.event('started');
  return { pid: parent.pid, bridgeRuns: () => isRunning(child) };
}
