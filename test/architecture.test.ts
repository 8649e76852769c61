/** Holds ARCHITECTURE.md and the code together: its folder tables are read here, and every import is checked against them. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, test } from 'node:test';
import { entriesOf, filesBelow, foldersBelow, readSource } from './support/source-tree.ts';

const SOURCE = /\.(ts|js|mjs|cjs)$/;
const WITH_LINE_LIMIT = /\.(ts|js|mjs|cjs|c|sh|py|yml|yaml|html|css|service)$|^Dockerfile$|^\.ci\/run$/;
const COLUMNS_MAX = 140;
const LINES_MAX = 400;
const BRIDGE_TOP_FILES_MAX = 6;

/** A row of the first table. `imports` names folders; undefined stands for "all". */
interface FolderRow {
  folder: string;
  imports: string[] | undefined;
}

const document = readSource('ARCHITECTURE.md');
const folderSection = /\n## Folders\n([\s\S]*?)\n## /.exec(document)?.[1] ?? '';
/** Rows of the tables in the section "Folders": three cells in the first table, two in the second. */
const tableRows = folderSection
  .split('\n')
  .filter((line) => line.startsWith('| `'))
  .map((line) => line.split('|').slice(1, -1))
  .map((cells) => cells.map((cell) => cell.trim()));
const nameIn = (cell: string): string => cell.replaceAll('`', '').replace(/\/$/, '');

const folderRows: FolderRow[] = tableRows
  .filter((cells) => cells.length === 3)
  .map(([folder = '', , imports = '']) => ({
    folder: nameIn(folder),
    imports: imports === 'all' ? undefined : imports.split(', ').filter((name) => name !== 'none' && name !== 'npm'),
  }));
const subFolders = tableRows.filter((cells) => cells.length === 2).map(([folder = '']) => nameIn(folder));

const allFiles = filesBelow('.');
const sources = allFiles.filter((file) => SOURCE.test(file));
const sourceSet = new Set(sources);

/** The row that a file belongs to: the one with the longest matching name. */
function rowOf(file: string): string | undefined {
  const matching = folderRows.map(({ folder }) => folder).filter((folder) => file === folder || file.startsWith(`${folder}/`));
  return matching.toSorted((a, b) => b.length - a.length)[0];
}

interface Dependency {
  from: string;
  to: string;
}

/**
 * Every relative path in a string literal that leads to a source file: imports, but also worker threads and child processes, which are
 * started by `startWorker(import.meta.url, './queue-worker')` or `siblingModule(…)` without the file's ending.
 */
function dependenciesOf(file: string): Dependency[] {
  return [...readSource(file).matchAll(/(['"`])(\.\.?\/[^'"`\n$]*)\1/g)].flatMap(([, , target = '']) => {
    const joined = path.posix.join(path.posix.dirname(file), target);
    const to = [joined, `${joined}.ts`, `${joined}.js`, `${joined}.mjs`].find((name) => sourceSet.has(name));
    return to === undefined ? [] : [{ from: file, to }];
  });
}
const dependencies = sources.flatMap(dependenciesOf);

/** One cycle of a graph as text, or undefined if there is none. */
function cycleIn(edges: readonly (readonly [string, string])[]): string | undefined {
  const next = new Map<string, Set<string>>();
  for (const [from, to] of edges) if (from !== to) next.set(from, (next.get(from) ?? new Set()).add(to));
  const finished = new Set<string>();
  const visit = (node: string, way: readonly string[]): string | undefined => {
    if (way.includes(node)) return [...way.slice(way.indexOf(node)), node].join(' -> ');
    if (finished.has(node)) return undefined;
    for (const other of next.get(node) ?? []) {
      const cycle = visit(other, [...way, node]);
      if (cycle !== undefined) return cycle;
    }
    finished.add(node);
    return undefined;
  };
  for (const node of next.keys()) {
    const cycle = visit(node, []);
    if (cycle !== undefined) return cycle;
  }
  return undefined;
}

describe('the folder tables of ARCHITECTURE.md', () => {
  test('every top-level folder has a row, and every row its folder or file', () => {
    const top = entriesOf('.').folders.filter((name) => !name.startsWith('.'));
    const rows = folderRows.map(({ folder }) => folder);
    assert.deepEqual(
      top.filter((folder) => !rows.includes(folder)),
      [],
      'folders without a row',
    );
    assert.deepEqual(
      rows.filter((row) => !allFiles.some((file) => file === row || file.startsWith(`${row}/`))),
      [],
      'rows without a folder',
    );
    const looseSources = entriesOf('.').files.filter((file) => SOURCE.test(file) && !rows.includes(file));
    assert.deepEqual(looseSources, [], 'sources at the top level without a row');
  });

  test('every folder inside a folder of the product has a row, and every row its folder', () => {
    const there = folderRows
      .map(({ folder }) => folder)
      .filter((folder) => !['test', 'bench', 'start.ts', 'all-services.ts'].includes(folder))
      .flatMap(foldersBelow)
      .filter((folder) => !folderRows.some((row) => row.folder === folder));
    assert.deepEqual(subFolders.toSorted(), there.toSorted());
  });

  test('every path in backticks exists', () => {
    for (const file of ['ARCHITECTURE.md', 'CONTRIBUTING.md'])
      for (const [, name = ''] of readSource(file).matchAll(/`([a-z][\w.-]*\/[\w./-]*)`/g)) {
        const exists = allFiles.some((other) => other === name || other.startsWith(name.replace(/\/?$/, '/')));
        assert.ok(exists || name.startsWith('test/data/') || name.startsWith('dist/'), `${file} names ${name}`);
      }
  });

  test('dependencies point upwards: a row names only folders above it', () => {
    for (const [index, { folder, imports }] of folderRows.entries()) {
      const above = folderRows.slice(0, index).map((row) => row.folder);
      for (const name of imports ?? [])
        assert.ok(above.includes(name), `${folder}/ may not import ${name}, which is not above it`);
    }
  });
});

describe('imports', () => {
  test('the search for dependencies finds imports of every kind, workers and child processes', () => {
    const found = (from: string, to: string): boolean => dependencies.some((one) => one.from === from && one.to === to);
    assert.ok(
      sources.length > 300 && dependencies.length > 1000,
      `${sources.length} sources, ${dependencies.length} dependencies`,
    );
    for (const [from, to] of [
      ['all-services.ts', 'gateway/service.ts'],
      ['all-services.ts', 'ble-bridge/main.ts'],
      ['forwarder/queue/queue.ts', 'forwarder/queue/queue-worker.ts'],
      ['admin-api/page/page.js', 'admin-api/page/format.js'],
      ['test/architecture.test.ts', 'test/support/source-tree.ts'],
    ] as const)
      assert.ok(found(from, to), `${from} -> ${to} is not found`);
    for (const folder of ['bench/support', 'tools', 'cli', 'outbox', 'test/support'])
      assert.ok(
        dependencies.some(({ from }) => from.startsWith(`${folder}/`)),
        `no dependency of ${folder} is found`,
      );
  });

  test('every folder imports only what its row allows', () => {
    const wrong = dependencies.filter(({ from, to }) => {
      const [fromRow, toRow] = [rowOf(from), rowOf(to)];
      if (fromRow === toRow && fromRow !== undefined) return false;
      const index = folderRows.findIndex(({ folder }) => folder === fromRow);
      const allowed = folderRows[index]?.imports ?? folderRows.slice(0, Math.max(0, index)).map(({ folder }) => folder);
      return toRow === undefined || !allowed.includes(toRow);
    });
    assert.deepEqual(
      wrong.map(({ from, to }) => `${from} -> ${to}`),
      [],
    );
  });

  test('no cycle between folders', () => {
    assert.equal(cycleIn(dependencies.map(({ from, to }) => [rowOf(from) ?? from, rowOf(to) ?? to])), undefined);
  });

  // Tests are left out: they span folders, and share support files in both directions.
  const productFolders = foldersBelow('.').filter(
    (name) => rowOf(`${name}/`) !== 'test' && sources.some((file) => file.startsWith(`${name}/`)),
  );
  for (const folder of productFolders)
    if (entriesOf(folder).folders.length > 0)
      test(`no cycle between the folders in ${folder}/`, () => {
        // A folder counts with everything below it. A file directly in `folder`, such as a composition root, counts by itself.
        const child = (file: string): string =>
          file
            .split('/')
            .slice(0, folder.split('/').length + 1)
            .join('/');
        const edges = dependencies
          .filter(({ from, to }) => from.startsWith(`${folder}/`) && to.startsWith(`${folder}/`))
          .map(({ from, to }) => [child(from), child(to)] as const);
        // Cycles between two files of one folder are the linter's (import/no-cycle).
        assert.equal(cycleIn(edges.filter(([from, to]) => !sourceSet.has(from) || !sourceSet.has(to))), undefined);
      });

  test('contract/ imports nothing but npm packages', () => {
    for (const file of sources.filter((name) => rowOf(name) === 'contract'))
      assert.doesNotMatch(readSource(file), /from 'node:/, file);
  });
});

describe('size and place', () => {
  test(`no source line is longer than ${COLUMNS_MAX} columns, comments and strings included`, () => {
    const long = allFiles
      .filter((file) => WITH_LINE_LIMIT.test(file))
      .flatMap((file) =>
        readSource(file)
          .split('\n')
          .flatMap((line, index) => (line.length > COLUMNS_MAX ? [`${file}:${index + 1} (${line.length})`] : [])),
      );
    assert.deepEqual(long, []);
  });

  test(`no file is longer than ${LINES_MAX} lines`, () => {
    const long = sources
      .map((file) => ({ file, lines: readSource(file).split('\n').length - 1 }))
      .filter(({ lines }) => lines > LINES_MAX);
    assert.deepEqual(long, []);
  });

  test(`at most ${BRIDGE_TOP_FILES_MAX} files at the top level of ble-bridge/`, () => {
    const { files } = entriesOf('ble-bridge');
    assert.ok(files.length <= BRIDGE_TOP_FILES_MAX, files.join(', '));
  });

  test('only service/config/config.ts reads the environment', () => {
    const readers = productSources().filter((file) => /process\.env\b/.test(readSource(file)));
    // A function of AWS Lambda gets the name of its table that way, and nothing else.
    assert.deepEqual(readers, [
      'cloud/consumer/function-settings.ts',
      'cloud/consumer/store-once.ts',
      'service/config/config.ts',
    ]);
  });

  test('only service/storage/sqlite.ts loads SQLite: the wrong version for this Node aborts the process', () => {
    const loaders = productSources().filter((file) =>
      readSource(file)
        .split('\n')
        .some((line) => /'better-sqlite3(-node20)?'/.test(line) && !line.startsWith('import type')),
    );
    assert.deepEqual(loaders, ['service/storage/sqlite.ts']);
  });

  // The linter finds `any` and default exports (.oxlintrc.json), but not that it was switched off.
  test('no rule is switched off, no test is skipped or exclusive', () => {
    for (const file of sources.filter((name) => name.endsWith('.ts') && name !== 'test/architecture.test.ts')) {
      assert.doesNotMatch(readSource(file), /@ts-ignore|@ts-expect-error|eslint-disable|oxlint-disable/, file);
      assert.doesNotMatch(readSource(file), /\b(test|it|describe)\.(only|skip)\(/, file);
    }
  });
});

/** TypeScript of the product and its tools, without tests and benchmarks. */
function productSources(): string[] {
  return sources.filter((file) => file.endsWith('.ts') && !['test', 'bench', undefined].includes(rowOf(file)));
}
