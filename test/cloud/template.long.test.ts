import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';
import { cannotRun } from '../support/cannot-run.ts';
import { pythonWith } from '../support/python-venv.ts';
import { TEMPLATE } from './support/deployment.ts';

for (const [file, passedMin] of [
  [TEMPLATE, 20],
  [TEMPLATE.replace('template.yaml', 'iot-template.yaml'), 5],
] as const)
  test(`checkov finds nothing in ${path.basename(file)} that is not explained there`, async (t) => {
    const python = await pythonWith('checkov', ['checkov==3.3.30']);
    if (python === undefined) return cannotRun(t, 'no Python with checkov');
    const checkov = path.join(path.dirname(python), 'checkov');
    const options = ['--framework', 'cloudformation', '--skip-download', '--compact', '--quiet', '-o', 'json'];
    const output = await new Promise<string>((resolve) => {
      execFile(python, [checkov, '-f', file, ...options], { maxBuffer: 16 * 1024 * 1024 }, (_, stdout) => resolve(stdout));
    });
    const { results, summary } = JSON.parse(output) as {
      results: { failed_checks: { check_id: string; resource: string }[] };
      summary: { passed: number; skipped: number };
    };
    assert.deepEqual(
      results.failed_checks.map(({ check_id, resource }) => `${check_id} ${resource}`),
      [],
    );
    assert.ok(summary.passed >= passedMin, `${summary.passed} checks have passed`);
  });
