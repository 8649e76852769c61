/** Python packages for tests: a virtual environment per set of packages below .cache/, created at first use. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

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
  if (existsSync(path.join(folder, 'complete'))) return python;
  mkdirSync(cache, { recursive: true });
  // Two test files may create it at once. It is created in place, since an environment cannot be moved; the second waits for the stamp.
  const claim = `${folder}.making`;
  try {
    mkdirSync(claim);
  } catch {
    for (let waited = 0; waited < 300 && existsSync(claim); waited += 1)
      await new Promise((resolve) => setTimeout(resolve, 1000));
    return existsSync(path.join(folder, 'complete')) ? python : undefined;
  }
  try {
    rmSync(folder, { recursive: true, force: true });
    await run('python3', ['-m', 'venv', folder]);
    await run(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...packages], {
      maxBuffer: 16 * 1024 * 1024,
    });
    const stamp = path.join(folder, 'complete.tmp');
    writeFileSync(stamp, packages.join('\n'));
    renameSync(stamp, path.join(folder, 'complete'));
    return python;
  } catch (error) {
    console.log(`no Python environment with ${packages.join(', ')}: ${String(error).split('\n')[0]}`);
    return undefined;
  } finally {
    rmSync(claim, { recursive: true, force: true });
  }
}
