/**
 * Compiles better-sqlite3 12 if this Node needs it. better-sqlite3 13 ships binaries for Node-API 10 (Node 22 and later). Node 20 has
 * Node-API 9 and needs version 12, which must be compiled, and which aborts the process on Node 24.19 and later. Both are dependencies;
 * service/storage/sqlite.ts loads the matching one. npm runs this after each install.
 *
 * The output of the compiler is kept back: only its end is printed, and only if the build fails.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const OUTPUT_MAX_BYTES = 64 * 1024 * 1024;
const TAIL_LINES = 15;

/** The command that compiles the package in its own folder. */
function buildCommand() {
  const args = ['run', 'build-release', '--ignore-scripts=false'];
  // npm_execpath is the script of npm itself: run by this very node, it compiles for the headers of this node.
  const npm = process.env.npm_execpath;
  return npm !== undefined && npm.endsWith('.js') ? [process.execPath, [npm, ...args]] : ['npm', args];
}

function compile(folder, binary) {
  const [command, args] = buildCommand();
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd: folder,
    encoding: 'utf8',
    maxBuffer: OUTPUT_MAX_BYTES,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  if (status === 0 && existsSync(binary)) return;
  // stdout and stderr are null if the program could not be started.
  const tail = [stdout, stderr, error?.message].filter(Boolean).join('').trimEnd().split('\n').slice(-TAIL_LINES);
  console.error(
    `SQLite could not be compiled: install python3, make and g++ (Debian: apt install python3 make g++), or use Node 24.\n` +
      `The last lines of the build:\n  ${tail.join('\n  ')}`,
  );
  process.exit(1);
}

if (Number(process.versions.napi) < 10) {
  const require = createRequire(import.meta.url);
  const folder = path.dirname(require.resolve('better-sqlite3-node20/package.json'));
  const binary = path.join(folder, 'build/Release/better_sqlite3.node');
  if (!existsSync(binary)) {
    const major = process.versions.node.split('.')[0];
    console.log(`compiling SQLite for Node ${major} (about a minute); Node 24 needs no compiler`);
    compile(folder, binary);
  }
}
