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
import { LINK_ENDS, STRAP_STATES, type StateEntry } from '../../service/errors/strap-catalogue.ts';
import { SDK_VARIABLES } from '../../service/config/sdk-variables.ts';
import { SETTINGS, type Setting } from '../../service/config/settings.ts';
import { budgetsTable } from '../../gateway/budgets/budget-table.ts';
import { costsTable } from './costs.ts';
import { fleetCostsTable } from './fleet-costs.ts';

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

/** The table in docs/kinesis.md. */
export function sdkVariablesTable(): string {
  const rows = Object.entries<{ doc: string; must?: string }>(SDK_VARIABLES).map(
    ([name, { doc, must }]) => `| \`${name}\` | ${cell(doc)} | ${must === undefined ? '' : `must ${cell(must)}`} |`,
  );
  return ['| variable | meaning here | |', '|---|---|---|', ...rows].join('\n');
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

const hex = (code: number): string => `0x${code.toString(16).padStart(2, '0')}`;

/** The tables in docs/sensors.md: states, and why links end. */
export function strapTables(): string {
  const states = Object.entries<StateEntry>(STRAP_STATES).map(
    ([state, { meaning, advice, source }]) => `| \`${state}\` | ${cell(meaning)} | ${cell(advice)} | ${cell(source)} |`,
  );
  const ends = Object.entries(LINK_ENDS).map(
    ([reason, { codes, meaning, advice }]) =>
      `| \`${reason}\` | ${codes.map(hex).join(', ')} | ${cell(meaning)} | ${cell(advice)} |`,
  );
  return [
    '| state | meaning | what to do | source |',
    '|---|---|---|---|',
    ...states,
    '',
    '### Why links end',
    '',
    "`disconnects` of a strap's status counts the ends of links and attempts by these reasons; the log has them in `strap_lost`. Codes are",
    'those of HCI (Core, volume 1 part F) [S]; one that has no name there is shown as `0x..`, and came from the strap.',
    '',
    '| reason | HCI code | meaning | what to do if it repeats |',
    '|---|---|---|---|',
    ...ends,
  ].join('\n');
}

/** A text as JavaScript, in parts of at most 100 characters: no source line is longer than 140. */
function literal(text: string): string {
  const parts = text.match(/.{1,100}(?:\s|$)/gs) ?? [text];
  return parts.map((part) => JSON.stringify(part)).join(' + ');
}

/** The module of the page that shows the same: `admin-api/page/strap-states.js`, before it is formatted. */
export function strapStatesModule(): string {
  const plain = (text: string): string => literal(text.replaceAll('`', ''));
  const states = Object.entries<StateEntry>(STRAP_STATES).map(
    ([state, { words, kind, meaning, advice }]) =>
      `${state}: { words: '${words}', kind: '${kind}', meaning: ${plain(meaning)}, advice: ${plain(advice)} },`,
  );
  const reasons = Object.entries(STRAP_REASONS).map(([code, { hint }]) => `${code}: ${literal(hint)},`);
  return [
    '/** Made from service/errors/strap-catalogue.ts by `npm run docs`: what the states of a strap mean, and what to do. */',
    '',
    "/** @typedef {{ words: string, kind: 'good' | 'warn' | 'bad', meaning: string, advice: string }} StateText */",
    '',
    '/** @type {Partial<Record<string, StateText>>} */',
    'export const STATES = {',
    ...states,
    '};',
    '',
    '/**',
    ' * What to do about the reason of a state.',
    ' * @type {Partial<Record<string, string>>}',
    ' */',
    'export const REASON_HINTS = {',
    ...reasons,
    '};',
    '',
  ].join('\n');
}

/** Replaces the text between the `<!-- table -->` markers of a document. */
export function withTable(document: string, table: string): string {
  return document.replace(/(<!-- table -->\n)[\s\S]*(<!-- end of table -->)/, `$1${table.replaceAll('$', '$$$$')}\n$2`);
}

/** The generated tables by document. */
export const TABLES: readonly { file: string; table: () => string }[] = [
  { file: 'docs/settings.md', table: settingsTable },
  { file: 'docs/errors.md', table: errorsTable },
  { file: 'docs/kinesis.md', table: sdkVariablesTable },
  { file: 'docs/consumers.md', table: costsTable },
  { file: 'docs/fleet.md', table: fleetCostsTable },
  { file: 'docs/sensors.md', table: strapTables },
  { file: 'SECURITY.md', table: budgetsTable },
];
