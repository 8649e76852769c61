/**
 * Tables with a line of column names: our own CSV files and those of apps, watches and analysis programs. Which column is what follows
 * from its name (columns.ts), which separator from the line of names, the times from the whole column (column-times.ts).
 */
import { counted, UnusableContent, type RecordedRow, type Series } from '../recording.ts';
import { isNoValue, numberOf, numbersOf } from './cells.ts';
import { columnsOf, isSummary, type Columns, type TimeColumn } from './columns.ts';
import { columnTimes, type ColumnTimes } from './column-times.ts';
import { firstRows, readCsv, SEPARATORS, type CsvRow, type Separator } from './csv-rows.ts';
import { offsetsOfIntervals, unitOfIntervals } from './interval-times.ts';

/** The names stand within so many lines: Polar Flow's on the third, others after comments of a few lines. */
const NAMES_WITHIN_LINES = 40;
const BPM_MAX = 65_535;
const ROWS_MAX = 1_000_000;
const INTERVALS_PER_ROW_MAX = 10_000;
/** The longest interval that a strap can send. */
const INTERVAL_MAX_MS = 63_999;

export interface Table {
  separator: Separator;
  /** The line of column names. */
  line: number;
  names: readonly string[];
  columns: Columns;
  /** Rows above the names. */
  above: readonly CsvRow[];
}

/** Finds the line of column names; undefined if no separator gives one. Names with a time win over names without. */
export function findTable(text: string): Table | undefined {
  let withoutTime: Table | undefined;
  for (const separator of SEPARATORS) {
    const above: CsvRow[] = [];
    for (const row of firstRows(text, separator, NAMES_WITHIN_LINES)) {
      const columns = columnsOf(row.cells);
      if (columns !== undefined) {
        const table: Table = { separator, line: row.line, names: row.cells, columns, above: [...above] };
        if (columns.times.length > 0 || columns.date >= 0) return table;
        withoutTime ??= table;
      }
      above.push(row);
    }
  }
  return withoutTime;
}

/** A data row as far as it can be read without the whole column of times. */
interface TableRow {
  line: number;
  /** How many cells the line has. */
  width: number;
  /** The cells of `keptColumns`: a table may have many more, and a day 86,400 lines. */
  kept: readonly string[];
  bpm: number | null;
  rrMs: number[];
}

/** Columns whose text is needed after the whole table was read: times, date, strap. */
const keptColumns = ({ times, date, strap }: Columns): number[] => [...times.map(({ index }) => index), date, strap];

class TableReader {
  readonly #table: Table;
  readonly #decimalComma: boolean;
  readonly #kept: readonly number[];
  readonly rows: TableRow[] = [];
  /** The last line, if it cannot be read: a file that was cut off ends within a line. */
  bad: { line: number; why: string } | undefined;

  constructor(table: Table) {
    this.#table = table;
    this.#decimalComma = table.separator !== ',';
    this.#kept = keptColumns(table.columns);
  }

  read(text: string): void {
    readCsv(text, this.#table.separator, (row) => {
      if (row.line <= this.#table.line) return;
      // Something follows the line that cannot be read: it is not the cut end of the file.
      if (this.bad !== undefined) throw this.badLine();
      this.#row(row);
    });
    if (this.bad !== undefined && (text.endsWith('\n') || this.rows.length === 0)) throw this.badLine();
  }

  badLine(): UnusableContent {
    return new UnusableContent(`CSV: line ${this.bad?.line}: ${this.bad?.why}`);
  }

  #row({ line, cells }: CsvRow): void {
    const { columns, names } = this.#table;
    const decimalComma = this.#decimalComma;
    const rateCell = columns.rate < 0 ? '' : (cells[columns.rate] ?? '');
    const bpm = numberOf(rateCell, { decimalComma });
    if (bpm === undefined || (bpm !== null && (bpm < 0 || bpm > BPM_MAX))) {
      this.bad = { line, why: `${names[columns.rate] ?? ''} must be empty or a number, 0-65535 (got ${shown(rateCell)})` };
      return;
    }
    const last = columns.intervals.at(-1);
    // Some apps write further intervals of a line behind the last named column.
    const extra = last !== undefined && last === names.length - 1 ? cells.slice(names.length) : [];
    const rrMs: number[] = [];
    for (const cell of [...columns.intervals.map((index) => cells[index] ?? ''), ...extra]) {
      const values = numbersOf(cell, { decimalComma });
      if (
        values === undefined ||
        values.length > INTERVALS_PER_ROW_MAX ||
        values.some((value) => value < 0 || value > INTERVAL_MAX_MS)
      ) {
        this.bad = { line, why: `${names[last ?? -1] ?? ''} must be RR intervals in ms or s (got ${shown(cell)})` };
        return;
      }
      for (const value of values) rrMs.push(value);
    }
    if (this.rows.length >= ROWS_MAX)
      throw new UnusableContent('CSV: more than a million rows, which is no recording of a heart rate');
    const kept = this.#kept.map((index) => cells[index] ?? '');
    this.rows.push({ line, width: cells.length, kept, bpm, rrMs });
  }
}

const shown = (cell: string): string => `“${cell.length > 24 ? `${cell.slice(0, 24)}…` : cell}”`;

interface Timed {
  times: ColumnTimes;
  column: string;
}

/** Cells of one of the time columns (none: only the date); a time of day is joined with the date beside it. */
function timeCells(rows: readonly TableRow[], column: number | undefined, { times, date }: Columns): string[] {
  const isAlone = date < 0 || date === times[column ?? -1]?.index;
  return rows.map(({ kept }) => {
    const time = column === undefined ? '' : (kept[column] ?? '');
    if (isAlone) return time;
    const day = kept[times.length] ?? '';
    return (time === '' || /^-?\d+:\d+/.test(time)) && day !== '' ? `${day} ${time}`.trim() : time;
  });
}

/** The best column of times that can be read in every row. Throws UnusableContent, naming the line, if none can. */
function timesOf(table: Table, rows: readonly TableRow[], decimalComma: boolean): Timed {
  const { times, date } = table.columns;
  const candidates: (TimeColumn | undefined)[] = [...times];
  if (date >= 0) candidates.push(undefined);
  let failure: string | undefined;
  for (const [place, column] of candidates.entries()) {
    const cells = timeCells(rows, column === undefined ? undefined : place, table.columns);
    const name = table.names[column?.index ?? date] ?? '';
    if (cells.every(isNoValue)) {
      failure ??= `${name} is empty`;
      continue;
    }
    const options = { unit: column?.unit, elapsed: column?.elapsed ?? false, decimalComma };
    const read = columnTimes(cells, options);
    if (!('badAt' in read)) return { times: read, column: name };
    failure ??= `line ${rows[read.badAt]?.line}: ${name} must be a time (got ${shown(cells[read.badAt] ?? '')})`;
  }
  throw new UnusableContent(`CSV: ${failure ?? 'no column of times'}`);
}

/** One table, or, if it has a column that names straps, one series for each of them. Throws UnusableContent. */
export function readTable(text: string, table: Table): Series[] {
  const { columns, names, separator } = table;
  const decimalComma = separator !== ',';
  if (isSummary(names) && columns.intervals.length === 0)
    throw new UnusableContent(
      `CSV: the columns ${names.slice(0, 6).join(', ')}… are a list with one line per measurement, lap or day, ` +
        'not a series of heart rates; export the session itself: as FIT or TCX, or its RR intervals',
    );
  const hasTimes = columns.times.length > 0 || columns.date >= 0;
  if (!hasTimes && columns.intervals.length === 0)
    throw new UnusableContent(
      `CSV: the columns ${names.slice(0, 6).join(', ')} have heart rates, but no times; ` +
        'add a column timestamp (2026-11-30T07:30:00Z) or offset_seconds',
    );
  const reader = new TableReader(table);
  reader.read(text);
  const notes: string[] = [];
  dropCutLine(reader, text, notes);
  if (reader.rows.length === 0) throw new UnusableContent(`CSV: column names on line ${table.line}, but no rows`);
  const inSeconds = columns.intervalUnit ?? unitOfIntervals(reader.rows.flatMap(({ rrMs }) => rrMs.slice(0, 1)));
  if (inSeconds === 's') for (const row of reader.rows) row.rrMs = row.rrMs.map((seconds) => seconds * 1000);
  const rows = hasTimes ? timedRows(table, reader, decimalComma, notes) : offsetsOfIntervals(reader.rows);
  return byStrap(table, reader.rows, rows, notes);
}

/** Leaves out a last line that is not whole: the file was cut off there. */
function dropCutLine(reader: TableReader, text: string, notes: string[]): void {
  const [before, last] = reader.rows.slice(-2);
  const isShort = last !== undefined && !text.endsWith('\n') && last.width < (before?.width ?? 0);
  if (reader.bad === undefined && isShort) reader.rows.pop();
  const line = reader.bad?.line ?? (isShort ? last.line : undefined);
  if (line !== undefined) notes.push(`the file is cut off within line ${line}, which was left out`);
}

interface DatedRows {
  startMs?: number;
  /** One per row of the table; undefined: the row has no time. */
  rows: (RecordedRow | undefined)[];
}

function timedRows(table: Table, reader: TableReader, decimalComma: boolean, notes: string[]): DatedRows {
  const { rows } = reader;
  const timed = timesOf(table, rows, decimalComma);
  const { times } = timed;
  if (times.note !== undefined) notes.push(times.note);
  const zero = times.isDated ? (times.seconds.find((seconds) => seconds !== null) ?? 0) : 0;
  let untimed = 0;
  const dated = rows.map(({ bpm, rrMs }, index) => {
    const seconds = times.seconds[index];
    if (seconds !== null && seconds !== undefined) return { offsetSeconds: seconds - zero, bpm, rrMs };
    if (bpm !== null || rrMs.length > 0) untimed += 1;
    return undefined;
  });
  if (untimed > 0) notes.push(`${counted(untimed, 'row')} without a time left out`);
  return { ...(times.isDated ? { startMs: zero * 1000 } : {}), rows: dated };
}

function byStrap(table: Table, read: readonly TableRow[], { startMs, rows }: DatedRows, notes: readonly string[]): Series[] {
  const { strap } = table.columns;
  const device = deviceAbove(table);
  const straps = new Map<string, RecordedRow[]>();
  rows.forEach((row, index) => {
    if (row === undefined) return;
    const name = strap < 0 ? '' : (read[index]?.kept.at(-1) ?? '');
    const some = straps.get(name);
    if (some === undefined) straps.set(name, [row]);
    else some.push(row);
  });
  return [...straps].map(([name, some]) => ({
    format: 'CSV',
    device: name === '' ? device : name,
    ...(straps.size > 1 ? { strap: name } : {}),
    startMs: startMs ?? startAbove(table),
    rows: some,
    notes: [...notes],
  }));
}

/** Polar Flow writes `Date` and `Start time` above a table of elapsed times. Local time, taken as UTC. */
function startAbove({ above }: Table): number | undefined {
  for (const [index, { cells }] of above.entries()) {
    const [date, time] = [/^date$/i, /^start time$/i].map((name) => cells.findIndex((cell) => name.test(cell)));
    if (date === undefined || time === undefined || date < 0 || time < 0) continue;
    const values = above[index + 1]?.cells ?? [];
    const start = columnTimes([`${values[date] ?? ''} ${values[time] ?? ''}`], {
      unit: undefined,
      elapsed: false,
      decimalComma: false,
    });
    const seconds = 'badAt' in start ? undefined : start.seconds[0];
    return seconds === undefined || seconds === null ? undefined : seconds * 1000;
  }
  return undefined;
}

/** Polar Flow names the sport and the athlete above its table, others a device: only the device is of interest. */
function deviceAbove({ above }: Table): string | undefined {
  for (const { cells } of above) {
    const at = cells.findIndex((cell) => /^(?:device|device name|ger[aä]t)$/i.test(cell));
    const value = cells[at + 1];
    if (at >= 0 && value !== undefined && value !== '') return value;
  }
  return undefined;
}
