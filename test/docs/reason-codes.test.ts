import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ERRORS } from '../../service/errors/error-catalogue.ts';
import * as catalogue from '../../service/errors/reason-catalogue.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const read = (file: string): string => readFileSync(path.join(root, file), 'utf8');

function sourceOf(folders: readonly string[]): string {
  return folders
    .flatMap((folder) =>
      readdirSync(path.join(root, folder), { withFileTypes: true, recursive: true })
        .filter((entry) => entry.isFile() && entry.name.endsWith('.ts') && !entry.name.endsWith('-catalogue.ts'))
        .map((entry) => readFileSync(path.join(entry.parentPath, entry.name), 'utf8')),
    )
    .join('\n');
}

/** Which folders raise the codes of a table. */
const TABLES: Record<string, { table: object; raisedIn: readonly string[] }> = {
  'health reasons': {
    table: catalogue.HEALTH_REASONS,
    raisedIn: ['service', 'gateway', 'ble-bridge', 'outbox', 'forwarder', 'admin-api'],
  },
  'states of the uplink': { table: catalogue.UPLINK_REASONS, raisedIn: ['forwarder'] },
  'reasons of dead letters': {
    table: catalogue.DEAD_LETTER_REASONS,
    raisedIn: ['forwarder', 'outbox', 'gateway', 'contract/publication'],
  },
  'causes of evicted readings': { table: catalogue.EVICTED_CAUSES, raisedIn: ['forwarder'] },
  'causes of missed readings': { table: catalogue.MISSED_CAUSES, raisedIn: ['forwarder', 'outbox'] },
  "reasons of a strap's state": { table: catalogue.STRAP_REASONS, raisedIn: ['ble-bridge'] },
  'causes of gaps': { table: catalogue.GAP_CAUSES, raisedIn: ['forwarder', 'ble-bridge', 'outbox'] },
};

for (const [name, { table, raisedIn }] of Object.entries(TABLES))
  test(`every documented code is raised by the code: ${name}`, () => {
    const source = sourceOf(raisedIn);
    const raised = (code: string): boolean => new RegExp(`['"\`]${code}['"\`]|\\b${code}: `).test(source);
    assert.deepEqual(
      Object.keys(table).filter((code) => !raised(code)),
      [],
    );
  });

test('every code that a health check is made with is documented', () => {
  const source = sourceOf(['service', 'gateway', 'ble-bridge', 'outbox', 'forwarder', 'admin-api']);
  const codes = [...source.matchAll(/\b(?:failing|warning|report)\(\s*[^,()]+,\s*'([a-z_]+)'/g)].map((match) => match[1] ?? '');
  assert.ok(codes.length >= 10, `only ${codes.length} found: has the way of making checks changed?`);
  const document = read('docs/errors.md');
  assert.deepEqual(
    codes.filter((code) => !document.includes(`| \`${code}\` |`)),
    [],
  );
});

test('every code of docs/errors.md is in a catalogue', () => {
  const known = new Set([ERRORS, ...Object.values(TABLES).map(({ table }) => table)].flatMap((table) => Object.keys(table)));
  const documented = [...read('docs/errors.md').matchAll(/^\| `([a-z_]+)` \|/gm)].map((match) => match[1] ?? '');
  assert.ok(documented.length >= known.size);
  assert.deepEqual(
    documented.filter((code) => !known.has(code)),
    [],
  );
});
