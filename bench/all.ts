/**
 * npm run bench:all: runs every benchmark, one after another (about an hour), then writes docs/performance.md. `--short` runs each of
 * them once, for seconds, to check that they work; its figures mean nothing. For the backlog of ten million rows run
 * `npm run bench:backlog` without arguments.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const short = process.argv.includes('--short');
const extra = short ? ['--short'] : [];
const benches: readonly (readonly [string, readonly string[]])[] = [
  ['accept', extra],
  ['puback', extra],
  ['ship', extra],
  ['latency', extra],
  ['wear', extra],
  ['accounts', extra],
  ['drain', extra],
  ['pages', []],
  ['footprint', extra],
  ['backlog', short ? extra : ['--rows', '100000,1000000']],
];
const failed: string[] = [];
for (const [bench, args] of benches) {
  const began = performance.now();
  const { status } = spawnSync(
    process.execPath,
    ['--import', 'tsx', fileURLToPath(new URL(`./${bench}.ts`, import.meta.url)), ...args],
    { stdio: 'inherit' },
  );
  console.log(`bench:${bench}: ${Math.round((performance.now() - began) / 1000)} s${status === 0 ? '' : ', FAILED'}`);
  if (status !== 0) failed.push(bench);
}
spawnSync(process.execPath, ['--import', 'tsx', fileURLToPath(new URL('./docs.ts', import.meta.url))], { stdio: 'inherit' });
console.log(failed.length === 0 ? 'all benches ran' : `FAILED: ${failed.join(', ')}`);
process.exitCode = failed.length === 0 ? 0 : 1;
