/**
 * Readings as JSON: lines of our own stream (as `hr-gateway tail --json` prints them and Firehose stores them), or one array, as
 * `GET /devices/:id/readings` answers. Each strap in it is a recording of its own; readings that were sent twice count once.
 */
import { counted, UnusableContent, type RecordedRow, type Series } from '../recording.ts';

const BPM_MAX = 65_535;
const RATE_NAMES = ['heart_rate', 'heart_rate_bpm', 'heartRate', 'hr', 'bpm'] as const;
const TIME_NAMES = ['timestamp', 'time', 'datetime', 'date'] as const;
const INTERVAL_NAMES = ['rr_intervals_ms', 'rr_ms', 'rr', 'rrs'] as const;

interface TimedRow extends RecordedRow {
  run: string;
  seq: number;
}

interface Strap {
  rows: TimedRow[];
  seen: Set<string>;
  duplicates: number;
}

type Fields = Readonly<Record<string, unknown>>;

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The first of these fields that is there, and not null. */
function fieldOf(fields: Fields, names: readonly string[]): unknown {
  for (const name of names) if (fields[name] !== undefined && fields[name] !== null) return fields[name];
  return undefined;
}

/** ms since 1970 of an RFC 3339 text, or of an epoch in s or ms. */
function timeOf(value: unknown): number | undefined {
  if (typeof value === 'number' && value > 0) return value < 1e11 ? value * 1000 : value;
  if (typeof value !== 'string') return undefined;
  const ms = Date.parse(/\d{2}:\d{2}/.test(value) && !/(?:Z|[+-]\d{2}:?\d{2})$/i.test(value) ? `${value}Z` : value);
  return Number.isNaN(ms) ? undefined : ms;
}

function intervalsOf(value: unknown): number[] {
  if (!Array.isArray(value)) return [];
  return value.filter((ms): ms is number => typeof ms === 'number' && ms >= 0 && ms < 64_000);
}

class Readings {
  readonly straps = new Map<string, Strap>();
  /** Objects that are no readings: accounts, gaps, other programs' records. */
  foreign = 0;

  add(value: unknown): void {
    const fields = isFields(value) ? value : undefined;
    const bpm = fields === undefined ? undefined : fieldOf(fields, RATE_NAMES);
    const ms = fields === undefined ? undefined : timeOf(fieldOf(fields, TIME_NAMES));
    if (fields === undefined || typeof bpm !== 'number' || !(bpm >= 0 && bpm <= BPM_MAX) || ms === undefined) {
      this.foreign += 1;
      return;
    }
    const { device, gateway, run, seq } = fields;
    const name = typeof device === 'string' ? device : '';
    const strap = this.straps.get(name) ?? { rows: [], seen: new Set<string>(), duplicates: 0 };
    this.straps.set(name, strap);
    const isNumbered = typeof run === 'string' && typeof seq === 'number';
    if (isNumbered) {
      const identity = `${typeof gateway === 'string' ? gateway : ''}/${run}/${seq}`;
      if (strap.seen.has(identity)) {
        strap.duplicates += 1;
        return;
      }
      strap.seen.add(identity);
    }
    const rrMs = intervalsOf(fieldOf(fields, INTERVAL_NAMES));
    strap.rows.push({ offsetSeconds: ms / 1000, bpm, rrMs, run: isNumbered ? run : '', seq: isNumbered ? seq : 0 });
  }

  series(notes: readonly string[]): Series[] {
    if (this.straps.size === 0)
      throw new UnusableContent(
        `JSON: ${counted(this.foreign, 'record')}, but none with timestamp and heart_rate; lines of the stream would work: ` +
          '{"timestamp":"2026-11-30T07:30:00.000Z","heart_rate":72}',
      );
    const shared = this.foreign === 0 ? notes : [...notes, `${counted(this.foreign, 'record')} that are no readings left out`];
    return [...this.straps].map(([name, strap]) => {
      inStreamOrder(strap.rows);
      const zero = strap.rows[0]?.offsetSeconds ?? 0;
      const rows = strap.rows.map(({ offsetSeconds, bpm, rrMs }) => ({ offsetSeconds: offsetSeconds - zero, bpm, rrMs }));
      const repeats = strap.duplicates === 0 ? [] : [`${counted(strap.duplicates, 'reading')} that are there twice counted once`];
      return {
        format: 'JSON Lines',
        device: name === '' ? undefined : name,
        ...(this.straps.size > 1 ? { strap: name } : {}),
        startMs: zero * 1000,
        rows,
        notes: [...shared, ...repeats],
      };
    });
  }
}

/** A stream keeps no order within a request: readings of one run are put in the order of their numbers, runs in order of time. */
function inStreamOrder(rows: TimedRow[]): void {
  const starts = new Map<string, number>();
  for (const { run, offsetSeconds } of rows) starts.set(run, Math.min(starts.get(run) ?? Infinity, offsetSeconds));
  rows.sort((a, b) => (a.run === b.run ? a.seq - b.seq : (starts.get(a.run) ?? 0) - (starts.get(b.run) ?? 0)));
}

/** Reads JSON. Throws UnusableContent, naming the line that is not JSON; one that is cut off at the end of the file is left out. */
export function readJson(text: string): Series[] {
  const readings = new Readings();
  const notes: string[] = [];
  if (text.startsWith('[')) {
    const array: unknown = parsed(text);
    if (!Array.isArray(array))
      throw new UnusableContent('JSON: an array that is not whole; lines of one reading each can be cut off');
    for (const value of array) readings.add(value);
    return readings.series(notes);
  }
  let line = 0;
  for (let from = 0; from < text.length;) {
    const found = text.indexOf('\n', from);
    const end = found < 0 ? text.length : found;
    const content = text.slice(from, end).trim();
    from = end + 1;
    line += 1;
    if (content === '') continue;
    const value = parsed(content);
    if (value !== undefined) readings.add(value);
    else if (found < 0 && readings.straps.size > 0) notes.push(`the file is cut off within line ${line}, which was left out`);
    else throw new UnusableContent(`JSON Lines: line ${line} is not JSON (${content.slice(0, 40)}…)`);
  }
  return readings.series(notes);
}

/** Undefined if the text is not JSON. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
