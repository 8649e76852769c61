import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const bridge = fileURLToPath(new URL('../../ble-bridge', import.meta.url));

/** The folders of the bridge, and those that each may import. Data flows radio → straps → outbox → publishing. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  gatt: [],
  radio: ['gatt'],
  straps: ['radio', 'gatt'],
  publishing: ['straps'],
};

function filesOf(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => path.join(entry.parentPath, entry.name));
}

/** Folders of the bridge that a file imports, its own left out; types count. */
function foldersImportedBy(file: string): string[] {
  const targets = [...readFileSync(file, 'utf8').matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)].map((match) =>
    path.relative(bridge, path.resolve(path.dirname(file), match[1] ?? '')),
  );
  const own = path.relative(bridge, file).split(path.sep)[0];
  const folders = targets.filter((target) => !target.startsWith('..') && target.includes(path.sep));
  return folders.map((target) => target.split(path.sep)[0] ?? '').filter((folder) => folder !== own);
}

test('folders of the bridge import only those that data has passed before', () => {
  const wrong = Object.entries(MAY_IMPORT).flatMap(([folder, allowed]) =>
    filesOf(path.join(bridge, folder)).flatMap((file) =>
      foldersImportedBy(file)
        .filter((target) => !allowed.includes(target))
        .map((target) => `${path.relative(bridge, file)} -> ${target}`),
    ),
  );
  assert.deepEqual(wrong, []);
});

test('only bridge-outbox.ts imports the outbox', () => {
  const importers = filesOf(bridge).filter((file) => readFileSync(file, 'utf8').includes("/outbox/outbox.ts'"));
  assert.deepEqual(importers.map((file) => path.relative(bridge, file)).sort(), ['publishing/bridge-outbox.ts']);
});

test('the top level of the bridge has at most six files', () => {
  const files = readdirSync(bridge, { withFileTypes: true }).filter((entry) => entry.isFile());
  assert.ok(files.length <= 6, `${files.length} files`);
});
