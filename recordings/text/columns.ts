/** What the columns of a table mean, by the names that apps and watches give them, with units in brackets or at the end. */
import type { TimeUnit } from './column-times.ts';

export interface Columns {
  /** Index of the heart rate; -1: the table has RR intervals only. */
  rate: number;
  /** Indices of RR intervals; several in some exports. */
  intervals: readonly number[];
  intervalUnit: 'ms' | 's' | undefined;
  /** Columns that could be the time, best first. */
  times: readonly TimeColumn[];
  /** A date beside a time of day; -1: none. */
  date: number;
  /** Which strap a row belongs to; -1: one for all. */
  strap: number;
}

export interface TimeColumn {
  index: number;
  unit: TimeUnit;
  /** Counts from the start. */
  elapsed: boolean;
}

interface Name {
  /** Lower case, letters and digits only, without the unit: `rr interval`, `RR-interval` and `rrInterval` are `rrinterval`. */
  key: string;
  unit: string | undefined;
}

/** Longer texts are no names of columns. */
const NAME_MAX = 80;
const UNIT_WORDS = /\s(bpm|1 min|ms|msec|msecs|milliseconds|s|sec|secs|seconds|ns|us|min|minutes)$/;

/** `RR-interval [ms]`: key `rrinterval`, unit `ms`; `heart_rate_bpm`: `heartrate`, `bpm`. */
function nameOf(text: string): Name {
  const cell = text.slice(0, NAME_MAX);
  const bracketed = /[([]([^)\]]*)[)\]]/.exec(cell)?.[1];
  const words = cell
    .replace(/[([][^)\]]*[)\]]/g, ' ')
    .replace(/([a-z])([A-Z])/g, '$1 $2')
    .normalize('NFD')
    .replace(/\p{M}/gu, '')
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, ' ')
    .trim();
  const ending = UNIT_WORDS.exec(words)?.[1];
  return {
    key: keyOf(ending === undefined ? words : words.slice(0, -ending.length - 1)),
    unit: (bracketed ?? ending)?.trim().toLowerCase(),
  };
}

const keyOf = (words: string): string => words.replaceAll(' ', '');
const names = (text: string): ReadonlySet<string> => new Set(text.split('|').map(keyOf));
const RATE = names(
  'hr|heart rate|heartrate|bpm|pulse|puls|pulsschlag|hrate|heart rate value|heart rate data|herzfrequenz|herzrate|hf|' +
    'fc|frequence cardiaque|frecuencia cardiaca|frequenza cardiaca|hartslag|syke|heart beat|heartbeat',
);
const INTERVAL = names(
  'rr|r r|rri|rr interval|rr intervals|rrinterval|rrintervals|ibi|pp interval|ppi|nn|nn interval|beat interval|msecs',
);
const ELAPSED = names(
  'offset|secs|sec|seconds|elapsed|elapsed time|seconds elapsed|time elapsed|time offset|relative time|duration|t|laufzeit|l sec',
);
const MINUTES = names('minutes|minute|mins|min');
const TIMESTAMP = names(
  'timestamp|time stamp|time|datetime|date time|phone timestamp|phone data rx timestamp|local time|start time|utc|utc time|created at|' +
    'recorded at|zeit|zeitstempel|uhrzeit|heure|hora|ora|aika|tid|epoch|epoch time|unix|unix time|unix timestamp|iso|iso time|at|' +
    'record time|start date|measured at',
);
const SENSOR_CLOCK = names('sensor timestamp');
const DATE = names('date|datum|fecha|data|day|dato|pvm');
const STRAP = names('device|device id|deviceid|strap|sensor');
/** Columns of tables with one line per lap, session or day. */
const SUMMARY = names(
  'avg hr|average hr|average heart rate|avg heart rate|max hr|maximum heart rate|max heart rate|rmssd|sdnn|avnn|pnn50|pnn 50|ln rmssd|' +
    'durchschn hf|o herzfrequenz|maximale hf|fc moyenne|fc max',
);

function timeUnit(unit: string | undefined): TimeUnit {
  switch (unit) {
    case 's':
    case 'sec':
    case 'secs':
    case 'seconds':
      return 's';
    case 'ms':
    case 'msec':
    case 'msecs':
    case 'milliseconds':
      return 'ms';
    case 'us':
    case 'µs':
      return 'us';
    case 'ns':
      return 'ns';
    case 'min':
    case 'minutes':
      return 'min';
    default:
      return undefined;
  }
}

/** The order in which time columns are preferred; undefined: not a time. */
function timeRank({ key }: Name): number | undefined {
  if (TIMESTAMP.has(key)) return 0;
  if (ELAPSED.has(key)) return 1;
  if (MINUTES.has(key)) return 2;
  if (SENSOR_CLOCK.has(key)) return 3;
  return undefined;
}

function timeColumns(columns: readonly Name[]): TimeColumn[] {
  return columns
    .flatMap((name, index) => {
      const rank = timeRank(name);
      if (rank === undefined) return [];
      const unit = MINUTES.has(name.key) ? 'min' : timeUnit(name.unit);
      return [{ rank, column: { index, unit, elapsed: rank === 1 || rank === 2 } }];
    })
    .sort((a, b) => a.rank - b.rank)
    .map(({ column }) => column);
}

/** True if the names are those of a list of laps, sessions or days rather than of a series. */
export function isSummary(cells: readonly string[]): boolean {
  return cells.some((cell) => SUMMARY.has(nameOf(cell).key));
}

/** The columns that these cells name, or undefined if they name neither a heart rate nor an interval. */
export function columnsOf(cells: readonly string[]): Columns | undefined {
  const named = cells.map(nameOf);
  const first = (set: ReadonlySet<string>): number => named.findIndex(({ key }) => set.has(key));
  const rate = first(RATE);
  const intervals = named.flatMap(({ key }, index) => (INTERVAL.has(key) && index !== rate ? [index] : []));
  if (rate < 0 && intervals.length === 0) return undefined;
  const unit = timeUnit(named[intervals[0] ?? -1]?.unit);
  return {
    rate,
    intervals,
    intervalUnit: unit === 'ms' || unit === 's' ? unit : undefined,
    times: timeColumns(named),
    date: first(DATE),
    strap: first(STRAP),
  };
}
