/** The SQL of docs/consumers.md, run by DuckDB over files as Firehose writes them. */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { pythonWith } from '../../support/python-venv.ts';

const DOC = readFileSync(new URL('../../../docs/consumers.md', import.meta.url), 'utf8');

/** The Python that has DuckDB; undefined if it cannot be created. */
export async function duckPython(): Promise<string | undefined> {
  return await pythonWith('duckdb', ['duckdb==1.5.6']);
}

/** The statements of all SQL blocks, in their order. */
export const STATEMENTS = [...DOC.matchAll(/```sql\n([\s\S]*?)```/g)].flatMap(([, block = '']) =>
  block
    .split(/;\n/)
    .map((statement) => statement.trim())
    .filter((statement) => statement !== ''),
);

/** The one statement that contains a text. */
export function statementWith(text: string): string {
  const found = STATEMENTS.filter((statement) => statement.includes(text));
  if (found.length !== 1 || found[0] === undefined) throw new Error(`${found.length} statements with ${text}`);
  return found[0];
}

/** A type of Hive's as DuckDB writes it. */
function typeOf(hive: string): string {
  const inner = /^(array|map|struct)<(.*)>$/s.exec(hive.trim());
  if (inner === null) return hive.trim() === 'string' ? 'VARCHAR' : hive.trim().toUpperCase();
  const [, kind, content = ''] = inner;
  if (kind === 'array') return `${typeOf(content)}[]`;
  if (kind === 'map') return `MAP(${listOf(content).map(typeOf).join(', ')})`;
  return `STRUCT(${listOf(content)
    .map((field) => {
      const colon = field.indexOf(':');
      return `"${field.slice(0, colon).replaceAll('`', '').trim()}" ${typeOf(field.slice(colon + 1))}`;
    })
    .join(', ')})`;
}

/** Splits at commas outside of brackets. */
function listOf(text: string): string[] {
  const parts = [''];
  let depth = 0;
  for (const char of text) {
    if (char === '<') depth += 1;
    if (char === '>') depth -= 1;
    if (char === ',' && depth === 0) parts.push('');
    else parts.push(`${parts.pop() ?? ''}${char}`);
  }
  return parts;
}

/** The table `readings_raw` over a folder (`dt=…/…`), with the columns of the document's CREATE EXTERNAL TABLE. */
function tableOver(folder: string): string {
  const ddl = statementWith('CREATE EXTERNAL TABLE');
  const columns = listOf(ddl.slice(ddl.indexOf('(') + 1, ddl.indexOf(')\nPARTITIONED BY'))).map((column) => {
    const [, name = '', hive = ''] = /^\s*`?(\w+)`?\s+([\s\S]+)$/.exec(column) ?? [];
    return `'${name}': '${typeOf(hive.replaceAll(/\s+/g, ' '))}'`;
  });
  const options = `columns = {${columns.join(', ')}}, hive_partitioning = true, hive_types = {'dt': VARCHAR}`;
  return `CREATE VIEW readings_raw AS SELECT * FROM read_json('${folder}/**/*', format = 'newline_delimited', ${options})`;
}

/** Athena's functions that DuckDB calls differently: the first two as the document says. */
const MACROS = [
  ...DOC.matchAll(/CREATE MACRO [^;`]+(?=;)/g),
  ['CREATE MACRO from_iso8601_timestamp(text) AS CAST(text AS TIMESTAMP)'],
].map(([macro = '']) => macro);

/** Runs statements over a folder, and returns the rows of the last. */
export async function query(
  python: string,
  folder: string,
  ...statements: string[]
): Promise<Record<string, string | number | null>[]> {
  const child = spawn(python, [new URL('duck.py', import.meta.url).pathname], { stdio: ['pipe', 'pipe', 'pipe'] });
  let output = '';
  let errors = '';
  child.stdout.on('data', (data) => (output += String(data)));
  child.stderr.on('data', (data) => (errors += String(data)));
  child.stdin.end(JSON.stringify([...MACROS, tableOver(folder), ...statements]));
  const code = await new Promise((resolve) => child.once('close', resolve));
  if (code !== 0) throw new Error(errors);
  return JSON.parse(output) as Record<string, string | number | null>[];
}
