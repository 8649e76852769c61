/**
 * TCX and GPX, read as a stream of tags (saxes), whatever prefixes their namespaces have. Of a file that is cut off or not well-formed
 * everything before that place counts.
 */
import { SaxesParser } from 'saxes';
import { counted, UnusableContent, type RecordedRow, type Series } from '../recording.ts';
import { numbersOf } from '../text/cells.ts';

/** What is read of a point, by the names of its tags without prefix. */
interface Dialect {
  format: string;
  /** A point with time and heart rate. */
  point: string;
  time: string;
  /** The text of these tags is a heart rate, if they stand within a tag of `rateWithin`. */
  rate: ReadonlySet<string>;
  rateWithin?: string;
  /** Names the device, within a tag of `deviceWithin`; an attribute of the root in GPX. */
  device?: { tag: string; within: string };
}

const DIALECTS: Readonly<Record<string, Dialect>> = {
  TrainingCenterDatabase: {
    format: 'TCX',
    point: 'Trackpoint',
    time: 'Time',
    rate: new Set(['Value']),
    rateWithin: 'HeartRateBpm',
    device: { tag: 'Name', within: 'Creator' },
  },
  gpx: { format: 'GPX', point: 'trkpt', time: 'time', rate: new Set(['hr', 'heartrate', 'HeartRate', 'heart_rate']) },
};
/** Our own extension of TCX: RR intervals in ms, separated by blanks. */
const INTERVALS = 'RRIntervalsMs';
const BPM_MAX = 65_535;
const CHUNK = 64 * 1024;
const DEPTH_MAX = 100;

const localName = (name: string): string => name.slice(name.indexOf(':') + 1);

interface Point {
  time: string;
  rate: string;
  intervals: string;
}

class PointReader {
  readonly rows: RecordedRow[] = [];
  dialect: Dialect | undefined;
  root = '';
  device: string | undefined;
  points = 0;
  untimed = 0;
  #path: string[] = [];
  #point: Point | undefined;
  #text = '';

  /** False if the tag is nested too deeply. */
  open(qualified: string, attributes: Readonly<Record<string, string>>): boolean {
    if (this.#path.length >= DEPTH_MAX) return false;
    const name = localName(qualified);
    if (this.#path.length === 0) {
      this.root = name;
      this.dialect = DIALECTS[name];
      if (this.dialect?.format === 'GPX') this.device = attributes['creator'];
    }
    this.#path.push(name);
    this.#text = '';
    if (name === this.dialect?.point) this.#point = { time: '', rate: '', intervals: '' };
    return true;
  }

  text(text: string): void {
    if (this.#text.length < 64 * 1024) this.#text += text;
  }

  close(): void {
    const name = this.#path.pop();
    const text = this.#text.trim();
    this.#text = '';
    const { dialect } = this;
    if (dialect === undefined || name === undefined) return;
    const parent = this.#path.at(-1);
    if (dialect.device?.tag === name && dialect.device.within === parent && text !== '') this.device ??= text;
    const point = this.#point;
    if (point === undefined) return;
    if (name === dialect.time) point.time = text;
    else if (dialect.rate.has(name) && (dialect.rateWithin === undefined || dialect.rateWithin === parent)) point.rate = text;
    else if (name === INTERVALS) point.intervals = text;
    else if (name === dialect.point) {
      this.#point = undefined;
      this.#add(point);
    }
  }

  #add({ time, rate, intervals }: Point): void {
    this.points += 1;
    const value = /^\d+(?:\.\d+)?$/.test(rate) ? Number(rate) : NaN;
    const bpm = value <= BPM_MAX ? value : null;
    const rrMs = (numbersOf(intervals, { decimalComma: false }) ?? []).filter((ms) => ms >= 0 && ms < 64_000);
    // Without a zone it is UTC, which both formats ask for.
    const ms = Date.parse(/(?:Z|[+-]\d{2}:?\d{2})$/i.test(time) ? time : `${time}Z`);
    if (Number.isNaN(ms)) {
      if (bpm !== null) this.untimed += 1;
    } else this.rows.push({ offsetSeconds: ms / 1000, bpm, rrMs });
  }
}

/** Reads TCX or GPX. Throws UnusableContent if it is other XML or has no times. */
export function readXml(text: string): Series {
  const points = new PointReader();
  const parser = new SaxesParser();
  let problem: string | undefined;
  parser.on('error', (error) => {
    problem ??= error.message;
  });
  // What follows the first error is not read.
  parser.on('opentag', ({ name, attributes }) => {
    if (problem === undefined && !points.open(name, attributes)) problem = `${parser.line}: tags are nested too deeply`;
  });
  parser.on('text', (content) => {
    if (problem === undefined) points.text(content);
  });
  parser.on('cdata', (content) => {
    if (problem === undefined) points.text(content);
  });
  parser.on('closetag', () => {
    if (problem === undefined) points.close();
  });
  const content = text.trim();
  for (let from = 0; from < content.length && problem === undefined; from += CHUNK)
    parser.write(content.slice(from, from + CHUNK));
  if (problem === undefined) parser.close();
  return seriesOf(points, problem);
}

function seriesOf({ dialect, root, rows, points, untimed, device }: PointReader, problem: string | undefined): Series {
  const where = problem === undefined ? '' : ` (line ${problem.replace(/\.$/, '')})`;
  if (dialect === undefined) {
    if (root === '') throw new UnusableContent(`XML that is not well-formed${where}`);
    const advice = root === 'HealthData' ? 'export the workout itself, as FIT, TCX or GPX' : 'TCX and GPX would work';
    throw new UnusableContent(`XML with the root element ${root.slice(0, 40)}, which is not TCX or GPX; ${advice}`);
  }
  if (rows.length === 0) {
    const what =
      untimed > 0 ? `${counted(untimed, 'heart rate')}, but no times` : `${counted(points, 'point')}, but none with a time`;
    throw new UnusableContent(`${dialect.format}: ${what}${where}`);
  }
  const notes: string[] = [];
  if (problem !== undefined) notes.push(`the file is cut off or not well-formed${where}: read up to there`);
  if (untimed > 0) notes.push(`${counted(untimed, 'heart rate')} without a time left out`);
  const zero = rows[0]?.offsetSeconds ?? 0;
  for (const row of rows) row.offsetSeconds -= zero;
  return { format: dialect.format, device, startMs: zero * 1000, rows, notes };
}
