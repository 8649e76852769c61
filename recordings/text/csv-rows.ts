/** Lines of a text as cells (csv-parse), for one separator; comments and blank lines are left out. */
import { CsvError, parse, type Options } from 'csv-parse/sync';
import { UnusableContent } from '../recording.ts';

export interface CsvRow {
  /** Number of the line in the file, from 1. */
  line: number;
  cells: string[];
}

export const SEPARATORS = [',', ';', '\t', '|'] as const;
export type Separator = (typeof SEPARATORS)[number];

/** Reads rows one by one, or those of the first `lines` lines. Throws UnusableContent if a quote is never closed. */
export function readCsv(text: string, separator: Separator, onRow: (row: CsvRow) => void, lines?: number): void {
  const options: Options = {
    delimiter: separator,
    record_delimiter: '\n',
    comment: '#',
    comment_no_infix: true,
    relax_column_count: true,
    relax_quotes: true,
    skip_empty_lines: true,
    ...(lines === undefined ? {} : { to_line: lines }),
    on_record: (cells: unknown, { lines: line }) => {
      const row = Array.isArray(cells) ? cells.map((cell) => String(cell).trim()) : [];
      if (row.some((cell) => cell !== '')) onRow({ line, cells: row });
      return null;
    },
  };
  try {
    parse(text, options);
  } catch (error) {
    // The first lines may end within a quoted cell.
    if (error instanceof CsvError && lines !== undefined) return;
    throw error instanceof CsvError ? new UnusableContent(`CSV: ${error.message}`, { cause: error }) : error;
  }
}

/** The rows of the first lines. */
export function firstRows(text: string, separator: Separator, lines: number): CsvRow[] {
  const rows: CsvRow[] = [];
  readCsv(text, separator, (row) => rows.push(row), lines);
  return rows;
}
