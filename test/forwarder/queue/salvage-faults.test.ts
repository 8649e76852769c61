/** A disk that fails while a damaged queue is salvaged: what a retry can cure costs nothing. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { DiskFaults, type DiskFault } from '../../support/disk-faults/disk-faults.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { appendOf, contentsOf, copyOf, fileOf, openFile } from './support/queue-files.ts';

const script = fileURLToPath(new URL('support/open-and-report.ts', import.meta.url));
const [HEADER, FRAME] = [32, 24 + 1024];
const ROWS = 900;

/** Half of the rows in the file, half in the log, of which a frame is damaged. */
function damagedQueue(t: TestContext): string {
  const from = tempDir(t);
  const queue = openFile(from);
  queue.commit([appendOf(1, ROWS / 2)]);
  queue.checkpoint();
  for (let seq = ROWS / 2 + 1; seq <= ROWS; seq += 10) queue.commit([appendOf(seq, 10)]);
  const folder = copyOf(from, path.join(tempDir(t), 'killed'));
  queue.close();
  const log = readFileSync(`${fileOf(folder)}-wal`);
  log.fill(0xee, HEADER + 3 * FRAME + 24, HEADER + 4 * FRAME);
  writeFileSync(`${fileOf(folder)}-wal`, log);
  return folder;
}

for (const [pattern, calls] of [
  ['*/queue.salvage.db', ['open']],
  ['*/queue.salvage.db', ['read']],
  ['*/queue.salvage.db-wal', ['read']],
  ['*/queue.salvage.db*', ['write']],
] satisfies [string, DiskFault['calls']][])
  for (const count of [1, undefined])
    test(`${calls.join()} of ${pattern} fails ${count === 1 ? 'once' : 'until later'} during a salvage: nothing is lost by that`, (t) => {
      const faults = DiskFaults.make(t);
      if (faults === undefined) return;
      const folder = damagedQueue(t);
      const whole = tempDir(t);
      cpSync(folder, whole, { recursive: true });
      const expected = contentsOf(whole);
      faults.begin({ pattern, calls, kind: 'EIO', ...(count === undefined ? {} : { count }) });
      const child = spawnSync(process.execPath, ['--import', 'tsx', script, folder], {
        encoding: 'utf8',
        env: { ...process.env, ...faults.environment },
      });
      assert.ok(faults.end() > 0, 'the fault was met');
      if (child.status !== 0)
        assert.deepEqual(
          readdirSync(folder).filter((name) => name.includes('damaged')),
          [],
          'nothing is replaced',
        );
      const { state, rows } = contentsOf(folder);
      assert.equal(state.queued, expected.state.queued, state.damage);
      assert.equal(state.accepted, expected.state.accepted);
      assert.deepEqual(rows, expected.rows);
    });
