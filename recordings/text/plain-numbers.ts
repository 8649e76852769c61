/**
 * Tables without column names: RR intervals, one a line (Elite HRV, HRV Logger, Kubios), times with intervals or rates, and the log of
 * the program jlennox/HeartRate (`44602.35,56,Contact,,"1076,1088"`: date of Excel, rate, contact, energy, intervals in 1/1024 s).
 */
import { UnusableContent, type RecordedRow, type Series } from '../recording.ts';
import { numberOf } from './cells.ts';
import { columnTimes } from './column-times.ts';
import { offsetsOfIntervals, unitOfIntervals } from './interval-times.ts';

/** Excel counts days from 1899-12-30; 30000 is 1982. */
const EXCEL_DAY = /^([3-6]\d{4})[.,](\d{4,})$/;
const EXCEL_EPOCH_DAYS = 25_569;
const MS_PER_DAY = 86_400_000;
/** In ms: intervals of heart rates of 20-240. */
const INTERVAL_MS = { min: 250, max: 3000 };
const RATE = { min: 20, max: 250 };

interface Line {
  line: number;
  cells: string[];
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;
}

/** What a column of numbers is, by its middle value. */
function kindOf(values: readonly number[]): 'intervals' | 'rates' | undefined {
  const middle = median(values);
  const ms = unitOfIntervals(values) === 's' ? middle * 1000 : middle;
  if (ms >= INTERVAL_MS.min && ms <= INTERVAL_MS.max) return 'intervals';
  if (middle >= RATE.min && middle <= RATE.max) return 'rates';
  return undefined;
}

const inMs = (values: readonly number[]): number[] =>
  unitOfIntervals(values) === 's' ? values.map((seconds) => seconds * 1000) : [...values];

/** Splits a line at separators that cannot be decimal commas. */
function linesOf(text: string): Line[] {
  return text
    .split('\n')
    .map((content, index) => ({ line: index + 1, content: content.trim() }))
    .filter(({ content }) => content !== '' && !content.startsWith('#'))
    .map(({ line, content }) => ({
      line,
      cells: content
        .replace(/\s+/g, ' ')
        .split(/ ?[;|] ?|, | /)
        .filter((cell) => cell !== ''),
    }));
}

/** One number a line: intervals, whose sum is the time. */
function intervalList(lines: readonly Line[]): Series | undefined {
  const values: number[] = [];
  for (const { line, cells } of lines) {
    const value = cells.length === 1 ? numberOf(cells[0] ?? '', { decimalComma: true }) : undefined;
    if (value === undefined || (value !== null && value < 0)) {
      // A first line of text is a title.
      if (values.length === 0 && line === lines[0]?.line && lines.length > 2) continue;
      return undefined;
    }
    if (value !== null) values.push(value);
  }
  if (values.length === 0) return undefined;
  const kind = kindOf(values);
  if (kind === 'rates')
    throw new UnusableContent(
      'a list of numbers that look like heart rates, without times; make it CSV with the columns offset_seconds and heart_rate_bpm',
    );
  if (kind === undefined)
    throw new UnusableContent(
      `a list of numbers around ${median(values)}: neither RR intervals in ms or s nor heart rates; RR intervals one a line would work`,
    );
  const rows = inMs(values).map((ms) => ({ bpm: null, rrMs: [ms] }));
  return { format: 'RR intervals', rows: offsetsOfIntervals(rows).rows, notes: [] };
}

/** Two numbers or a time and a number a line: times that do not fall, with rates or intervals. */
function timedPairs(pairs: readonly (readonly [string, string])[]): Series | undefined {
  if (pairs.length < 2) return undefined;
  const values = pairs.map(([, value]) => numberOf(value, { decimalComma: true }));
  if (values.some((value) => value === undefined)) return undefined;
  const times = columnTimes(
    pairs.map(([time]) => time),
    { unit: undefined, elapsed: false, decimalComma: true },
  );
  if ('badAt' in times) return undefined;
  const { seconds } = times;
  if (seconds.some((at, index) => at === null || at < (seconds[index - 1] ?? -Infinity))) return undefined;
  const numbers = values.map((value) => value ?? null);
  const kind = kindOf(numbers.filter((value) => value !== null));
  if (kind === undefined) return undefined;
  const zero = times.isDated ? (seconds[0] ?? 0) : 0;
  const scale = kind === 'intervals' && unitOfIntervals(numbers.filter((value) => value !== null)) === 's' ? 1000 : 1;
  const rows = numbers.map((value, index): RecordedRow => {
    const isInterval = kind === 'intervals' && value !== null;
    return {
      offsetSeconds: (seconds[index] ?? 0) - zero,
      bpm: kind === 'rates' ? value : null,
      rrMs: isInterval ? [value * scale] : [],
    };
  });
  const format = kind === 'rates' ? 'times and heart rates without column names' : 'times and RR intervals without column names';
  return { format, ...(times.isDated ? { startMs: zero * 1000 } : {}), rows, notes: [] };
}

const HEART_RATE_LOG = /^"?([3-6]\d{4})[.,](\d{4,})"?,(\d{1,3}),(\w*),(\d*),"?([\d,]*)"?$/;

/** The log of jlennox/HeartRate; its decimal sign is that of the computer's language. */
function heartRateLog(text: string): Series | undefined {
  const rows: RecordedRow[] = [];
  let zeroDays: number | undefined;
  for (const line of text.split('\n')) {
    if (line.trim() === '') continue;
    const match = HEART_RATE_LOG.exec(line.trim());
    if (match === null) return undefined;
    const [, days = '', fraction = '', bpm = '', , , intervals = ''] = match;
    const at = Number(`${days}.${fraction}`);
    zeroDays ??= at;
    const rrMs = intervals
      .split(',')
      .filter((part) => part !== '')
      .map((part) => (Number(part) * 1000) / 1024);
    rows.push({ offsetSeconds: Math.round((at - zeroDays) * MS_PER_DAY) / 1000, bpm: Number(bpm), rrMs });
  }
  if (zeroDays === undefined) return undefined;
  const startMs = Math.round((zeroDays - EXCEL_EPOCH_DAYS) * MS_PER_DAY);
  return { format: 'log of the program HeartRate', startMs, rows, notes: [] };
}

/** Reads a table without column names, or returns undefined if it is none of them. Throws UnusableContent for what looks like one. */
export function readPlainNumbers(text: string): Series | undefined {
  if (EXCEL_DAY.test(/^"?[\d]+[.,]\d+/.exec(text.trimStart())?.[0].replace('"', '') ?? '')) {
    const log = heartRateLog(text);
    if (log !== undefined) return log;
  }
  const lines = linesOf(text);
  const list = intervalList(lines);
  if (list !== undefined) return list;
  if (lines.every(({ cells }) => cells.length === 2))
    return timedPairs(lines.map(({ cells: [first = '', second = ''] }) => [first, second] as const));
  const commaPairs = text
    .split('\n')
    .filter((line) => line.trim() !== '' && !line.startsWith('#'))
    .map((line) => line.split(',').map((cell) => cell.trim()));
  if (commaPairs.every(({ length }) => length === 2))
    return timedPairs(commaPairs.map(([first = '', second = '']) => [first, second] as const));
  return undefined;
}
