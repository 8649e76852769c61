import { test, type TestContext } from 'node:test';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { tempDir } from '../../support/temp-dir.ts';
import { QueueUnderTest, steps, type Step } from './support/queue-model.ts';

/** Seeds that once failed, with what they found. */
const FOUND: readonly { seed: number; path: string; what: string }[] = [
  {
    seed: 842095437,
    path: '29:5:3:3:4:4:4:6:6:6:9:18:10:9:9:9:10:9:10:18:10:9:9:9:10:9:10:18:10:9:9:9:10:10:10:9:9:10:13:15',
    what: 'the model acknowledged rows of an earlier process again, which were queued once more after the restart',
  },
];

function run(t: TestContext, taken: readonly Step[]): void {
  const base = tempDir(t);
  let folders = 0;
  const queue = new QueueUnderTest(() => {
    folders += 1;
    const folder = path.join(base, String(folders));
    mkdirSync(folder);
    return folder;
  });
  for (const step of taken) queue.step(step);
  queue.finish();
}

const law = (t: TestContext) => fc.property(steps, (taken) => run(t, taken));

test('accept, take, acknowledge, fail, evict, discard, retry, restart and kill in any order: the queue agrees with its model', (t) => {
  fc.assert(law(t), { numRuns: Number(process.env['HR_MODEL_RUNS'] ?? 60), includeErrorInReport: true });
});

for (const { seed, path: at, what } of FOUND)
  test(`once found: ${what}`, (t) => fc.assert(law(t), { seed, path: at, numRuns: 1, includeErrorInReport: true }));
