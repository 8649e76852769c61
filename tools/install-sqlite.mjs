/**
 * Builds better-sqlite3 12 where this Node needs it. better-sqlite3 13 ships binaries for Node-API 10 (Node >= 22);
 * Node 20 has Node-API 9 and takes version 12, which has to be compiled, and which aborts on Node >= 24.19.
 * Both are dependencies; service/storage/sqlite.ts picks. Run by npm after each install.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const nodeApi = Number(process.versions.napi);
if (nodeApi < 10) {
  const require = createRequire(import.meta.url);
  const folder = path.dirname(require.resolve('better-sqlite3-node20/package.json'));
  const binary = path.join(folder, 'build/Release/better_sqlite3.node');
  if (!existsSync(binary)) {
    // npm_execpath is npm's own script: run it by this very node, so that the headers match.
    const npm = process.env.npm_execpath;
    const [command, args] =
      npm !== undefined && npm.endsWith('.js')
        ? [process.execPath, [npm, 'run', 'build-release', '--ignore-scripts=false']]
        : ['npm', ['run', 'build-release', '--ignore-scripts=false']];
    console.log(`building SQLite for Node ${process.versions.node} (about a minute)`);
    const result = spawnSync(command, args, { cwd: folder, stdio: ['ignore', 'inherit', 'inherit'] });
    if (result.status !== 0 || !existsSync(binary)) {
      console.error('SQLite could not be built: install python3, make and g++, or use Node >= 22, which needs no compiler');
      process.exit(1);
    }
  }
}
