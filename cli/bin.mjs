#!/usr/bin/env node
/**
 * The `hr-gateway` command of a checkout, from any working directory: runs the compiled product if it is current, otherwise the
 * TypeScript sources through tsx. Installations without sources run dist/cli/main.js itself.
 */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { compiledIsCurrent, root } from '../tools/compiled.mjs';

const compiled = new URL('../dist/cli/main.js', import.meta.url);

if (compiledIsCurrent()) await import(compiled.href);
else if (existsSync(path.join(root, 'node_modules/tsx'))) {
  const { register } = await import('tsx/esm/api');
  register();
  await import('./main.ts');
} else if (existsSync(compiled)) await import(compiled.href);
else {
  console.error('hr-gateway: the packages are not installed: run npm ci');
  process.exitCode = 1;
}
