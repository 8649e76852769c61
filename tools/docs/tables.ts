/** Documentation tables generated from the code: `npm run docs` writes them, test/docs compares them. */
import { ERRORS } from '../../service/errors/error-catalogue.ts';
import {
  DEAD_LETTER_REASONS,
  EVICTED_CAUSES,
  GAP_CAUSES,
  HEALTH_REASONS,
  MISSED_CAUSES,
  STRAP_REASONS,
  UPLINK_REASONS,
  type ReasonEntry,
} from '../../service/errors/reason-catalogue.ts';
import { SETTINGS, type Setting } from '../../service/config/settings.ts';
import { budgetsTable } from '../../gateway/budgets/budget-table.ts';
import { costsTable } from './costs.ts';

function bytesText(bytes: number): string {
  for (const [unit, size] of [
    ['GiB', 1024 ** 3],
    ['MiB', 1024 ** 2],
    ['KiB', 1024],
  ] as const)
    if (bytes >= size && bytes % size === 0) return `${bytes / size} ${unit}`;
  return String(bytes);
}

function defaultText(setting: Setting): string {
  if (setting.default === undefined) return 'none';
  if (setting.type === 'bytes') return bytesText(setting.default);
  if (setting.type === 'list') return setting.default.length === 0 ? 'none' : `\`${setting.default.join(',')}\``;
  return `\`${setting.default}\``;
}

function valuesText(setting: Setting): string {
  switch (setting.type) {
    case 'integer':
    case 'number':
      return `${setting.min}-${setting.max}`;
    case 'bytes':
      return `${bytesText(setting.min)}-${bytesText(setting.max)}`;
    case 'choice':
      return setting.choices.map((choice) => `\`${choice}\``).join(', ');
    case 'boolean':
      return '`true`, `false`';
    case 'list':
      return 'list, separated by commas';
    default:
      return 'text';
  }
}

const cell = (text: string): string => text.replaceAll('|', '\\|');

/** The table in docs/settings.md. */
export function settingsTable(): string {
  const rows = Object.entries(SETTINGS as Record<string, Setting>).map(
    ([name, setting]) => `| \`${name}\` | ${defaultText(setting)} | ${cell(valuesText(setting))} | ${cell(setting.doc)} |`,
  );
  return ['| variable | default | values | meaning |', '|---|---|---|---|', ...rows].join('\n');
}

/** The table in docs/errors.md. */
export function errorsTable(): string {
  const errors = Object.entries(ERRORS).map(
    ([code, { summary, hint, retryable }]) =>
      `| \`${code}\` | ${cell(summary)} | ${cell(hint)} | ${retryable ? 'may recover by itself' : 'needs an operator'} |`,
  );
  const withHints = (entries: Readonly<Record<string, ReasonEntry>>): string[] => [
    '| code | meaning | what to do |',
    '|---|---|---|',
    ...Object.entries(entries).map(([code, { summary, hint }]) => `| \`${code}\` | ${cell(summary)} | ${cell(hint)} |`),
  ];
  const plain = (entries: Readonly<Record<string, string>>): string[] => [
    '| code | meaning |',
    '|---|---|',
    ...Object.entries(entries).map(([code, summary]) => `| \`${code}\` | ${cell(summary)} |`),
  ];
  const parts: [title: string, lines: string[]][] = [
    ['Errors', ['| code | meaning | what to do | |', '|---|---|---|---|', ...errors]],
    ['Reasons of health checks', withHints(HEALTH_REASONS)],
    ['States of the uplink', withHints(UPLINK_REASONS)],
    ['Reasons of dead letters', plain(DEAD_LETTER_REASONS)],
    ['Causes of evicted readings', plain(EVICTED_CAUSES)],
    ['Causes of missed readings', plain(MISSED_CAUSES)],
    ["Reasons of a strap's state", withHints(STRAP_REASONS)],
    ['Causes of gaps', plain(GAP_CAUSES)],
  ];
  return parts.map(([title, lines]) => `## ${title}\n\n${lines.join('\n')}`).join('\n\n');
}

/** Replaces the text between the `<!-- table -->` markers of a document. */
export function withTable(document: string, table: string): string {
  return document.replace(/(<!-- table -->\n)[\s\S]*(<!-- end of table -->)/, `$1${table.replaceAll('$', '$$$$')}\n$2`);
}

/** The generated tables by document. */
export const TABLES: readonly { file: string; table: () => string }[] = [
  { file: 'docs/settings.md', table: settingsTable },
  { file: 'docs/errors.md', table: errorsTable },
  { file: 'docs/consumers.md', table: costsTable },
  { file: 'SECURITY.md', table: budgetsTable },
];
