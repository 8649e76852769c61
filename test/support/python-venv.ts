/** Python packages for tests: a virtual environment per set of packages below .cache/, created at first use. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { madeOnce } from './made-once.ts';

const run = promisify(execFile);
const cache = fileURLToPath(new URL('../../.cache/python', import.meta.url));

/**
 * The Python of an environment with these (pinned) packages, or undefined if Python or its registry is missing: the caller then
 * skips with one line, or fails if CI is true.
 */
export async function pythonWith(name: string, packages: readonly string[]): Promise<string | undefined> {
  const digest = createHash('sha256').update(packages.join('\n')).digest('hex').slice(0, 12);
  const folder = path.join(cache, `${name}-${digest}`);
  const python = path.join(folder, 'bin/python');
  // In place: an environment cannot be moved.
  const isMade = await madeOnce(folder, `a Python environment with ${packages.join(', ')}`, async () => {
    await run('python3', ['-m', 'venv', folder]);
    await run(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...packages], {
      maxBuffer: 16 * 1024 * 1024,
    });
  });
  return isMade ? python : undefined;
}
