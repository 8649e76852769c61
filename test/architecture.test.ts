import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const SERVICES = ['gateway', 'ble-bridge', 'forwarder', 'admin-api', 'local-kinesis'];
const FOLDERS = ['contract', 'service', ...SERVICES, 'outbox', 'cloud', 'cli', 'tools'];

function sources(folder: string): string[] {
  if (!existsSync(path.join(root, folder))) return [];
  return readdirSync(path.join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const file = path.join(folder, entry.name);
    if (entry.isDirectory()) return sources(file);
    return entry.name.endsWith('.ts') ? [file] : [];
  });
}
const read = (file: string): string => readFileSync(path.join(root, file), 'utf8');
const importsOf = (file: string): string[] =>
  [...read(file).matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)]
    .map((match) => match[1] ?? '')
    .filter((target) => target.startsWith('.'))
    .map((target) => path.join(path.dirname(file), target));

test('contract imports npm only, service imports contract, services never each other, cloud imports contract only', () => {
  const allowed: Record<string, string[]> = {
    contract: [],
    service: ['contract'],
    cloud: ['contract'],
    outbox: ['contract', 'service'],
    cli: FOLDERS,
    tools: FOLDERS,
    ...Object.fromEntries(SERVICES.map((name) => [name, ['contract', 'service', 'outbox']])),
  };
  const wrong = FOLDERS.flatMap((folder) =>
    sources(folder).flatMap((file) =>
      importsOf(file)
        .filter((target) => {
          const other = target.split(path.sep)[0] ?? '';
          return other !== folder && !(allowed[folder] ?? []).includes(other);
        })
        .map((target) => `${file} -> ${target}`),
    ),
  );
  assert.deepEqual(wrong, []);
});

test('only service/config/config.ts reads the environment', () => {
  const readers = ['start.ts', ...FOLDERS.flatMap(sources)].filter((file) => /process\.env\b/.test(read(file)));
  assert.deepEqual(readers, ['service/config/config.ts']);
});

test('nothing but service/storage/sqlite.ts loads SQLite: a version that does not suit this Node ends the process', () => {
  const loaders = FOLDERS.flatMap(sources).filter((file) =>
    read(file)
      .split('\n')
      .some((line) => /'better-sqlite3(-node20)?'/.test(line) && !line.startsWith('import type')),
  );
  assert.deepEqual(loaders, ['service/storage/sqlite.ts']);
});

test('no file of the product or its tests has outgrown its name: at most 400 lines', () => {
  const long = ['start.ts', ...FOLDERS.flatMap(sources), ...sources('test'), ...sources('bench')]
    .map((file) => ({ file, lines: read(file).split('\n').length }))
    .filter(({ lines }) => lines > 401);
  assert.deepEqual(long, []);
});

// `any` and default exports of any form are the linter's (.oxlintrc.json); it cannot see that it was switched off.
test('no rule is switched off, no test is skipped or exclusive', () => {
  for (const file of ['start.ts', ...FOLDERS.flatMap(sources), ...sources('test'), ...sources('bench')]) {
    if (file === 'test/architecture.test.ts') continue;
    const text = read(file);
    assert.doesNotMatch(text, /@ts-ignore|@ts-expect-error|eslint-disable|oxlint-disable/, file);
    assert.doesNotMatch(text, /\b(test|it|describe)\.(only|skip)\(/, file);
  }
});
