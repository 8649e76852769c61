/** Completes dist/ after the compiler: copies the live page, and writes the stamp that tools/start-compiled.mjs compares. */
import { cpSync, existsSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
for (const folder of ['admin-api/page']) {
  const target = path.join(root, 'dist', folder);
  rmSync(target, { recursive: true, force: true });
  if (existsSync(path.join(root, folder))) cpSync(path.join(root, folder), target, { recursive: true });
}
writeFileSync(path.join(root, 'dist/.compiled'), '');
