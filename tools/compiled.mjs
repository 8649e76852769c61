/** Whether the compiled product in dist/ is as new as its sources. */
import { existsSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder of this checkout. */
export const root = fileURLToPath(new URL('..', import.meta.url));
const FILES = ['start.ts', 'all-services.ts', 'package.json'];
const FOLDERS = [
  'contract',
  'service',
  'gateway',
  'ble-bridge',
  'forwarder',
  'admin-api',
  'local-kinesis',
  'cloud',
  'cli',
  'outbox',
  'recordings',
];

/** The latest modification time in a folder, in ms since 1970. */
function newest(folder) {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.name !== 'node_modules')
    .map((entry) => {
      const file = path.join(folder, entry.name);
      return entry.isDirectory() ? newest(file) : statSync(file).mtimeMs;
    })
    .reduce((a, b) => Math.max(a, b), 0);
}

/** True if dist/ holds a complete compilation that is at least as new as every source (tools/copy-assets.mjs writes the stamp last). */
export function compiledIsCurrent() {
  const stamp = path.join(root, 'dist/.compiled');
  if (!existsSync(path.join(root, 'dist/start.js')) || !existsSync(stamp)) return false;
  const compiledAt = statSync(stamp).mtimeMs;
  return (
    FILES.every((file) => statSync(path.join(root, file)).mtimeMs <= compiledAt) &&
    FOLDERS.every((folder) => newest(path.join(root, folder)) <= compiledAt)
  );
}
