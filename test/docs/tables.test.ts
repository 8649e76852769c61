import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERRORS } from '../../service/errors/error-catalogue.ts';
import { SETTINGS } from '../../service/config/settings.ts';
import { TABLES, withTable } from '../../tools/docs/tables.ts';
import { filesBelow, readSource } from '../support/source-tree.ts';

const documents = filesBelow('.').filter((file) => file.endsWith('.md'));

for (const { file, table } of TABLES)
  test(`the table in ${file} is up to date (npm run docs regenerates it)`, () => {
    const document = readSource(file);
    assert.equal(withTable(document, table()), document);
    assert.ok(document.includes(table()));
  });

test('every code of the error catalogue is used', () => {
  const code = filesBelow('.')
    .filter((file) => /\.(ts|mjs)$/.test(file) && !/^(test|bench)\//.test(file))
    .filter((file) => !file.endsWith('error-catalogue.ts'))
    .map(readSource)
    .join('\n');
  const unused = Object.keys(ERRORS).filter((name) => !new RegExp(`['"\`]${name}\\b`).test(code));
  assert.deepEqual(unused, []);
});

test('every npm script named in a document exists, and every script is named in a document', () => {
  const { scripts } = JSON.parse(readSource('package.json')) as { scripts: Record<string, string> };
  const text = documents.map(readSource).join('\n');
  const named = new Set([...text.matchAll(/npm run ([a-z][a-z:-]*)/g)].map((match) => match[1] ?? ''));
  for (const name of named) assert.ok(name in scripts || name.endsWith(':'), `npm run ${name}`);
  for (const name of Object.keys(scripts))
    if (!['postinstall', 'start', 'test'].includes(name)) assert.ok(named.has(name), `no document names npm run ${name}`);
});

test('docker compose passes every setting to the services that use it, or sets it', () => {
  const compose = readSource('docker-compose.yml');
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

test('docker compose gives all services of a box one GATEWAY_NAME', () => {
  const compose = readSource('docker-compose.yml');
  const shared = /x-environment: &environment\n((?: {2}.*\n)+)/.exec(compose)?.[1] ?? '';
  assert.match(shared, /^ {2}GATEWAY_NAME:$/m);
  assert.equal([...compose.matchAll(/^\s+GATEWAY_NAME:/gm)].length, 1);
});

test('.env.example contains only existing settings and SDK variables, each commented out', () => {
  for (const line of readSource('.env.example').split('\n')) {
    const match = /^#?\s?([A-Z][A-Z0-9_]+)=/.exec(line);
    if (match === null) continue;
    assert.ok(line.startsWith('#'), `${line} is active`);
    assert.ok((match[1] ?? '') in SETTINGS || (match[1] ?? '').startsWith('AWS_'), line);
  }
});
