/**
 * A column of times as seconds. What a column holds is decided over the whole column, since one cell may be read in several ways:
 * seconds, minutes or an epoch; `10:05` as minutes and seconds; 03/04 as a day or a month.
 */
import { CELL_MAX, numberOf } from './cells.ts';

export interface ColumnTimes {
  /** In seconds, one per cell; null: no time in the cell. */
  seconds: (number | null)[];
  /** Whether they are seconds since 1970 UTC. */
  isDated: boolean;
  note?: string;
}

/** The first cell that is no time: its index. */
export interface BadTime {
  badAt: number;
}

export type TimeUnit = 's' | 'ms' | 'us' | 'ns' | 'min' | undefined;

const PER_SECOND = { s: 1, ms: 1e3, us: 1e6, ns: 1e9, min: 1 / 60 } as const;
/** Numbers from here on are an epoch: 1973 in seconds, and a thousand times more in ms, µs, ns if the column names no unit. */
const EPOCH_FROM = 1e8;
const DAY = 86_400;
/** A time of day that falls by more than this has passed midnight. */
const MIDNIGHT_STEP = DAY / 2;

const CLOCK = /^(-?)(?:(\d+):)?(\d{1,3}):(\d{1,2}(?:[.,]\d+)?)\s*(am|pm)?$/i;
const ISO = /^(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?:[T\s_]+(.*))?$/;
const DAY_FIRST_OR_MONTH_FIRST = /^(\d{1,2})([-/.])(\d{1,2})[-/.](\d{4}|\d{2})(?:[T,\s]+(.*))?$/;
const COMPACT = /^(\d{4})(\d{2})(\d{2})[T_ ]?(\d{2})(\d{2})(\d{2}(?:\.\d+)?)(Z)?$/;
const ZONE = /\s*(?:(Z|UTC|GMT)|([+-])(\d{2}):?(\d{2})?)$/i;

/** Seconds of `hh:mm:ss`, `mm:ss`, `hh:mm:ss.mmm pm`; of two parts, the first are hours if `twoPartsAreHours`. */
function clockSeconds(text: string, twoPartsAreHours = false): number | undefined {
  const match = CLOCK.exec(text.trim());
  if (match === null) return undefined;
  const [, sign = '', first, middle = '', last = '', half] = match;
  const lastSeconds = Number(last.replace(',', '.'));
  if (lastSeconds >= 60) return undefined;
  let hours = first === undefined ? 0 : Number(first);
  let minutes = Number(middle);
  let seconds = lastSeconds;
  if (first === undefined && (twoPartsAreHours || half !== undefined)) [hours, minutes, seconds] = [minutes, lastSeconds, 0];
  if (first !== undefined && minutes >= 60) return undefined;
  if (half !== undefined) hours = (hours % 12) + (half.toLowerCase() === 'pm' ? 12 : 0);
  return (sign === '-' ? -1 : 1) * (hours * 3600 + minutes * 60 + seconds);
}

/** A date's parts and time of day as seconds since 1970; a zone in `rest` counts, otherwise the time is taken as UTC. */
function dateSeconds(year: number, month: number, day: number, rest: string | undefined): number | undefined {
  let zoneSeconds = 0;
  let clock = (rest ?? '').trim();
  const zone = ZONE.exec(clock);
  if (zone !== null) {
    const [whole, , sign, hours = '0', minutes = '0'] = zone;
    clock = clock.slice(0, clock.length - whole.length).trim();
    if (sign !== undefined) zoneSeconds = (sign === '-' ? -1 : 1) * (Number(hours) * 3600 + Number(minutes) * 60);
  }
  const seconds = clock === '' ? 0 : clockSeconds(clock, true);
  const midnight = Date.UTC(year, month - 1, day);
  const isDate = month >= 1 && month <= 12 && day >= 1 && new Date(midnight).getUTCDate() === day && year >= 1970;
  return seconds === undefined || !isDate ? undefined : midnight / 1000 + seconds - zoneSeconds;
}

type DateOrder = 'day first' | 'month first';

/** Seconds since 1970 of a cell with a date in it. */
function datedCell(cell: string, order: DateOrder): number | undefined {
  const iso = ISO.exec(cell);
  if (iso !== null) return dateSeconds(Number(iso[1]), Number(iso[2]), Number(iso[3]), iso[4]);
  const compact = COMPACT.exec(cell);
  if (compact !== null)
    return dateSeconds(Number(compact[1]), Number(compact[2]), Number(compact[3]), `${compact[4]}:${compact[5]}:${compact[6]}`);
  const other = DAY_FIRST_OR_MONTH_FIRST.exec(cell);
  if (other === null) return undefined;
  const [, a = '', , b = '', yearText = '', rest] = other;
  const year = yearText.length === 2 ? 2000 + Number(yearText) : Number(yearText);
  return order === 'day first' ? dateSeconds(year, Number(b), Number(a), rest) : dateSeconds(year, Number(a), Number(b), rest);
}

/** Whether 03/04 is 3 April or 4 March: by a number over 12 somewhere, else by the separator and am/pm. */
function dateOrderOf(cells: readonly string[]): DateOrder {
  let fallback: DateOrder = 'day first';
  for (const cell of cells) {
    const match = DAY_FIRST_OR_MONTH_FIRST.exec(cell);
    if (match === null) continue;
    if (Number(match[1]) > 12) return 'day first';
    if (Number(match[3]) > 12) return 'month first';
    if (match[2] === '/' && /[ap]m$/i.test(cell)) fallback = 'month first';
  }
  return fallback;
}

/** Units per second of an epoch of this size. */
function epochUnit(value: number): number {
  return [1e9, 1e6, 1e3, 1].find((perSecond) => value >= EPOCH_FROM * perSecond) ?? 1;
}

/** Numbers: of the named unit, else an epoch by its size, else seconds. */
function fromNumbers(values: readonly (number | null)[], unit: TimeUnit, elapsed: boolean): ColumnTimes {
  const first = values.find((value) => value !== null) ?? 0;
  const perSecond = unit === undefined ? epochUnit(elapsed ? 0 : first) : PER_SECOND[unit];
  return {
    seconds: values.map((value) => (value === null ? null : value / perSecond)),
    isDated: !elapsed && first / perSecond >= EPOCH_FROM,
  };
}

/** Times of day: after midnight they go on. */
function pastMidnight(seconds: (number | null)[]): { seconds: (number | null)[]; midnights: number } {
  let days = 0;
  let last: number | undefined;
  const result = seconds.map((value) => {
    if (value === null) return null;
    if (last !== undefined && last - value > MIDNIGHT_STEP) days += 1;
    last = value;
    return value + days * DAY;
  });
  return { seconds: result, midnights: days };
}

/**
 * Seconds of a column's trimmed cells, blank ones null. `elapsed`: the column counts from the start (`secs`), so that no number in it is an
 * epoch, and no time of day passes midnight.
 */
export function columnTimes(
  cells: readonly string[],
  { unit, elapsed, decimalComma }: { unit: TimeUnit; elapsed: boolean; decimalComma: boolean },
): ColumnTimes | BadTime {
  const tooLong = cells.findIndex(({ length }) => length > CELL_MAX);
  if (tooLong >= 0) return { badAt: tooLong };
  const numbers = valuesOf(cells, (cell) => numberOf(cell, { decimalComma }));
  if (!('badAt' in numbers)) return fromNumbers(numbers.values, unit, elapsed);
  const sample = cells.find((cell) => cell !== '') ?? '';
  if (clockSeconds(sample) !== undefined) {
    const clocks = valuesOf(cells, (cell) => (cell === '' ? null : clockSeconds(cell)));
    if ('badAt' in clocks) return clocks;
    const { seconds, midnights } = elapsed ? { seconds: clocks.values, midnights: 0 } : pastMidnight(clocks.values);
    return {
      seconds,
      isDated: false,
      ...(midnights === 0 ? {} : { note: 'times of day that pass midnight go on the next day' }),
    };
  }
  const order = dateOrderOf(cells);
  if (datedCell(sample, order) === undefined) return numbers;
  const dates = valuesOf(cells, (cell) => (cell === '' ? null : datedCell(cell, order)));
  return 'badAt' in dates ? dates : { seconds: dates.values, isDated: true };
}

/** The values of all cells, or the first cell that has none. */
function valuesOf(
  cells: readonly string[],
  read: (cell: string) => number | null | undefined,
): { values: (number | null)[] } | BadTime {
  const values: (number | null)[] = [];
  for (const [badAt, cell] of cells.entries()) {
    const value = read(cell);
    if (value === undefined) return { badAt };
    values.push(value);
  }
  return { values };
}
