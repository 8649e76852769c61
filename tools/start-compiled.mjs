/**
 * `npm start`: compiles when a source is newer than what was compiled, then runs the compiled product in this very process,
 * so that signals reach it. A TypeScript loader at run time would cost about 37 MB and half a second. `--v8-pool-size=1`: one helper thread
 * of V8 instead of four, 7 MB less.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { compiledIsCurrent, root } from './compiled.mjs';

/** Compiles the product where dist/ is older than a source. */
export function compileWhereStale() {
  if (compiledIsCurrent()) return;
  const tsc = path.join(root, 'node_modules/typescript/bin/tsc');
  if (!existsSync(tsc)) {
    if (existsSync(path.join(root, 'dist/start.js'))) return;
    console.error('dist/ is missing and so is the compiler: run npm ci');
    process.exit(1);
  }
  for (const args of [[tsc, '-p', path.join(root, 'tsconfig.build.json')], [path.join(root, 'tools/copy-assets.mjs')]]) {
    const result = spawnSync(process.execPath, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
    if (result.status !== 0) process.exit(result.status ?? 1);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  compileWhereStale();
  await import('../dist/start.js');
}
