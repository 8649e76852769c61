/**
 * Runs the tests: compiles the product once (tests start compiled processes), then runs every test file in a separate process, three at a
 * time, because much of their time is waiting; files that measure how long the product takes run alone. `--long` runs the long tests
 * instead, `--only <part of a path>` only matching files. Prints the slowest files.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { finished } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const long = process.argv.includes('--long');
const only = process.argv.flatMap((arg, index) => (process.argv[index - 1] === '--only' ? [arg] : []));
/** A file that runs longer is assumed to hang: it is stopped and counts as failed. One installs Home Assistant on a new machine. */
const FILE_LIMIT_MS = long ? 45 * 60_000 : 8 * 60_000;

function testFiles(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const file = path.join(folder, entry.name);
    if (entry.isDirectory()) return testFiles(file);
    return entry.name.endsWith('.test.ts') && entry.name.endsWith('.long.test.ts') === long ? [file] : [];
  });
}

function compile(): void {
  for (const args of [['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json'], ['tools/copy-assets.mjs']]) {
    const result = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' });
    if (result.status !== 0) process.exit(result.status ?? 1);
  }
}

compile();
process.env['HR_TEST_COMPILED'] = 'true';

/** The slowest files start first, so that the others run in parallel with them. */
const LONGEST = ['ble-radio/soak.test.ts', 'recordings/fuzz.test.ts', 'ble-radio/last-rung.test.ts'];
const turn = (file: string): number => LONGEST.findIndex((name) => file.endsWith(name)) + 1 || Infinity;

const files = testFiles(path.join(root, 'test'))
  .filter((file) => only.length === 0 || only.some((part) => file.includes(part)))
  .sort((a, b) => (turn(a) === turn(b) ? a.localeCompare(b) : turn(a) - turn(b)));
if (files.length === 0) {
  console.error(`no test file matches ${only.join(', ')}`);
  process.exit(1);
}
/** Their laws are times of the whole product, which other tests would take the processors from. */
const ALONE = ['system/enemy/enemy.test.ts'];
const isAlone = (file: string): boolean => ALONE.some((name) => file.endsWith(name));

const spentMs = new Map<string, number>();

async function runFiles(some: readonly string[], concurrency: number): Promise<void> {
  if (some.length === 0) return;
  const stream = run({ files: [...some], concurrency, timeout: FILE_LIMIT_MS });
  stream.on('test:fail', (event) => {
    if (event.todo === undefined) process.exitCode = 1;
  });
  for (const outcome of ['test:pass', 'test:fail'] as const)
    stream.on(outcome, (event) => {
      const file = event.file ?? event.name;
      if (event.nesting === 0) spentMs.set(file, (spentMs.get(file) ?? 0) + event.details.duration_ms);
    });
  const report = stream.compose(new spec());
  report.pipe(process.stdout, { end: false });
  await finished(report);
}

await runFiles(
  files.filter((file) => long || !isAlone(file)),
  long ? 1 : 3,
);
await runFiles(
  files.filter((file) => !long && isAlone(file)),
  1,
);
const slowest = [...spentMs].sort(([, a], [, b]) => b - a).slice(0, 12);
console.log(
  `slowest files: ${slowest.map(([file, ms]) => `${path.relative(root, file)} ${(ms / 1000).toFixed(1)} s`).join(', ')}`,
);
