import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

test('every script, document and hint that starts something in cli/ by its path names a file that exists', () => {
  const files = execFileSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8' })
    .split('\0')
    .filter((file) => /(^|\/)(package\.json|Dockerfile)$|\.(md|sh|yml|ts|mjs)$/.test(file) && existsSync(path.join(root, file)));
  const missing = files.flatMap((file) =>
    [
      ...readFileSync(path.join(root, file), 'utf8').matchAll(
        /(?:node|tsx|') *(?:\/opt\/hr-gateway\/)?(?:dist\/)?(cli\/[\w./-]+\.(?:ts|js|mjs))/g,
      ),
    ]
      .map((match) => (match[1] ?? '').replace(/\.js$/, '.ts'))
      .filter((target) => !existsSync(path.join(root, target)))
      .map((target) => `${file}: ${target}`),
  );
  assert.deepEqual(missing, []);
});
