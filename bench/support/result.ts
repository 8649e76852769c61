/** The result of a benchmark: JSON in bench/results/, a table on the terminal, and the same table in docs/performance.md. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { figure, shown, type Figure } from './statistics.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = path.join(root, 'bench/results');

export interface Machine {
  cpu: string;
  cores: number;
  memory_gib: number;
  kernel: string;
  node: string;
}

export interface Row {
  name: string;
  /** By column; columns that do not apply to the row are missing. */
  figures: Record<string, Figure>;
}

export interface BenchResult {
  bench: string;
  title: string;
  /** The baseline of the ratios, and what else a reader must know. */
  note: string;
  taken_at: string;
  product: string;
  machine: Machine;
  versions: Record<string, string>;
  columns: string[];
  rows: Row[];
  /** Figures that bench:guard compares: ratios, which hold on other machines too. */
  guarded: Record<string, number>;
}

export function machine(): Machine {
  const [first] = cpus();
  return {
    cpu: first?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memory_gib: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
  };
}

/** The version of an installed package, or of the product. */
export function versionOf(name: string): string {
  const file = name === 'hr-gateway' ? 'package.json' : `node_modules/${name}/package.json`;
  return (JSON.parse(readFileSync(path.join(root, file), 'utf8')) as { version: string }).version;
}

/** The version that a program prints; undefined if the program is not installed. */
export function programVersion(program: string, args: readonly string[], pattern: RegExp): string | undefined {
  try {
    return pattern.exec(execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }))?.[0];
  } catch (error) {
    return pattern.exec(String((error as { stdout?: string }).stdout ?? ''))?.[0];
  }
}

/** Builds a row from runs; each run has a figure per column. */
export function row(name: string, runs: readonly Readonly<Record<string, number>>[]): Row {
  const columns = [...new Set(runs.flatMap((run) => Object.keys(run)))];
  return {
    name,
    figures: Object.fromEntries(columns.map((column) => [column, figure(runs.flatMap((run) => run[column] ?? []))])),
  };
}

/** A cell: the median, and with several runs the minimum and maximum. */
function cell(value: Figure | undefined): string {
  if (value === undefined) return '';
  if (value.runs.length < 2 || value.min === value.max) return shown(value.median);
  return `${shown(value.median)} (${shown(value.min)}–${shown(value.max)})`;
}

/** The result as a Markdown table: median (minimum–maximum). */
export function markdownOf(result: BenchResult): string {
  const lines = [`| | ${result.columns.join(' | ')} |`, `|---|${result.columns.map(() => '---:|').join('')}`];
  for (const { name, figures } of result.rows)
    lines.push(`| ${name} | ${result.columns.map((column) => cell(figures[column])).join(' | ')} |`);
  return lines.join('\n');
}

/** Builds the result, writes bench/results/<bench>.json, and prints the table. */
export function finish(
  given: Pick<BenchResult, 'bench' | 'title' | 'note' | 'rows'> & {
    columns?: string[];
    versions?: Record<string, string>;
    guarded?: Record<string, number>;
  },
): BenchResult {
  const result: BenchResult = {
    bench: given.bench,
    title: given.title,
    note: given.note,
    taken_at: new Date().toISOString(),
    product: versionOf('hr-gateway'),
    machine: machine(),
    versions: given.versions ?? {},
    columns: given.columns ?? [...new Set(given.rows.flatMap(({ figures }) => Object.keys(figures)))],
    rows: given.rows,
    guarded: given.guarded ?? {},
  };
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, `${result.bench}.json`), `${JSON.stringify(result, null, 1)}\n`);
  console.log(`\n${result.title}\n${result.note}\n\n${markdownOf(result)}\n`);
  return result;
}
