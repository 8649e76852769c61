import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ERRORS } from '../../service/errors/error-catalogue.ts';
import { SETTINGS } from '../../service/config/settings.ts';
import { TABLES, withTable } from '../../tools/docs/tables.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const read = (file: string): string => readFileSync(path.join(root, file), 'utf8');

function sources(folder: string): string[] {
  return readdirSync(path.join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const file = path.join(folder, entry.name);
    if (entry.isDirectory()) return sources(file);
    return /\.(ts|mjs)$/.test(entry.name) ? [file] : [];
  });
}

for (const { file, table } of TABLES)
  test(`the table in ${file} is what the code says (npm run docs writes it)`, () => {
    const document = read(file);
    assert.equal(withTable(document, table()), document);
    assert.ok(document.includes(table()));
  });

test('every code of the catalogue is used somewhere', () => {
  const code = [
    'start.ts',
    ...['service', 'gateway', 'ble-bridge', 'forwarder', 'admin-api', 'local-kinesis', 'outbox', 'cloud', 'cli', 'tools'].flatMap(
      sources,
    ),
  ]
    .filter((file) => !file.endsWith('error-catalogue.ts'))
    .map(read)
    .join('\n');
  const unused = Object.keys(ERRORS).filter((name) => !new RegExp(`['"\`]${name}\\b`).test(code));
  assert.deepEqual(unused, []);
});

test('every npm script that the documents name exists, and every script is named in a document', () => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
  const documents = [
    'README.md',
    'ARCHITECTURE.md',
    'SECURITY.md',
    ...readdirSync(path.join(root, 'docs'))
      .filter((name) => name.endsWith('.md'))
      .map((name) => `docs/${name}`),
  ];
  const text = documents.map(read).join('\n');
  const named = new Set([...text.matchAll(/npm run ([a-z][a-z:-]*)/g)].map((match) => match[1] ?? ''));
  for (const name of named) assert.ok(name in scripts || name.endsWith(':'), `npm run ${name}`);
  for (const name of Object.keys(scripts))
    if (!['postinstall', 'start', 'test'].includes(name)) assert.ok(named.has(name), `no document names npm run ${name}`);
});

test('every link to a file in the documents leads to one', () => {
  for (const document of [
    'README.md',
    'ARCHITECTURE.md',
    'SECURITY.md',
    'CHANGELOG.md',
    ...readdirSync(path.join(root, 'docs'))
      .filter((name) => name.endsWith('.md'))
      .map((name) => `docs/${name}`),
  ])
    for (const match of read(document).matchAll(/\]\(([^)#:]+)(#[^)]*)?\)/g)) {
      const target = path.join(root, path.dirname(document), match[1] ?? '');
      assert.ok(existsSync(target), `${document}: ${match[1]}`);
    }
});

test('docker compose passes every setting on to the services that use it, or fixes it', () => {
  const compose = read('docker-compose.yml');
  const shared = /x-environment: &environment\n((?: {2}.*\n)+)/.exec(compose)?.[1] ?? '';
  for (const service of ['gateway', 'local-kinesis', 'forwarder', 'ble-bridge', 'admin-api']) {
    const section = new RegExp(`^  ${service}:\\n((?:    .*\\n|\\n)+)`, 'm').exec(compose)?.[1] ?? '';
    const missing = Object.entries(SETTINGS)
      .filter(([, setting]) => (setting.usedBy as readonly string[]).includes(service))
      .map(([name]) => name)
      .filter((name) => !new RegExp(`^\\s+${name}:`, 'm').test(`${section}${shared}`));
    assert.deepEqual(missing, [], service);
  }
});

test('.env.example names settings and SDK variables that exist, each commented out', () => {
  for (const line of read('.env.example').split('\n')) {
    const match = /^#?\s?([A-Z][A-Z0-9_]+)=/.exec(line);
    if (match === null) continue;
    assert.ok(line.startsWith('#'), `${line} is active`);
    assert.ok((match[1] ?? '') in SETTINGS || (match[1] ?? '').startsWith('AWS_'), line);
  }
});
