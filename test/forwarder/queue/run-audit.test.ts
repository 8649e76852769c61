import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import fc from 'fast-check';
import { tempDir } from '../../support/temp-dir.ts';
import { AuditUnderTest, auditSteps, type AuditStep } from './support/audit-model.ts';

function run(t: TestContext, taken: readonly AuditStep[], spansMax: number): void {
  const base = tempDir(t);
  let folders = 0;
  const audit = new AuditUnderTest(() => {
    folders += 1;
    const folder = path.join(base, String(folders));
    mkdirSync(folder);
    return folder;
  }, spansMax);
  for (const step of taken) audit.step(step);
  audit.close();
}

const numRuns = Number(process.env['HR_MODEL_RUNS'] ?? 60);

for (const spansMax of [1000, 4])
  test(`whatever happens, every seq up to the watermark has exactly one outcome, with up to ${spansMax} spans a run`, (t) => {
    fc.assert(
      fc.property(auditSteps, (taken) => run(t, taken, spansMax)),
      { numRuns, includeErrorInReport: true },
    );
  });
