/** Cells of tables as numbers: decimal commas, and all the ways in which programs write "no value". */

const NO_VALUE = new Set([
  '',
  'nan',
  'na',
  'n/a',
  '#n/a',
  '<na>',
  'null',
  'none',
  'nil',
  'inf',
  '-inf',
  '-',
  '--',
  '---',
  '.',
  '?',
  'undefined',
]);

/** A longer cell is neither a number nor a time: patterns are not tried on it. */
export const CELL_MAX = 64;

export const isNoValue = (cell: string): boolean => NO_VALUE.has(cell.trim().toLowerCase());

/**
 * The number in a cell, null for "no value", undefined if it is neither. `decimalComma`: commas do not separate cells in this file, so
 * one may be a decimal comma.
 */
export function numberOf(cell: string, { decimalComma }: { decimalComma: boolean }): number | null | undefined {
  if (isNoValue(cell)) return null;
  const trimmed = cell.trim();
  if (trimmed.length > CELL_MAX) return undefined;
  const text = decimalComma && /^[+-]?\d+,\d+$/.test(trimmed) ? trimmed.replace(',', '.') : trimmed;
  if (!/^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?$/.test(text)) return undefined;
  const value = Number(text);
  return Number.isFinite(value) ? value : undefined;
}

/** The numbers of a list in one cell: `812 798`, `812;798`, `[812, 798]`, `812|798`; undefined if something else is in it. */
export function numbersOf(cell: string, options: { decimalComma: boolean }): number[] | undefined {
  const inner = cell
    .trim()
    .replace(/\s+/g, ' ')
    .replace(/^[[({]|[\])}]$/g, '');
  // A comma separates only beside blanks, or where it cannot be a decimal comma.
  const separators = options.decimalComma ? / ?[;|] ?|, | / : / ?[;|,] ?| /;
  const numbers: number[] = [];
  for (const part of inner.split(separators)) {
    const value = numberOf(part.replace(/^['"]|['"]$/g, ''), options);
    if (value === undefined) return undefined;
    if (value !== null) numbers.push(value);
  }
  return numbers;
}
