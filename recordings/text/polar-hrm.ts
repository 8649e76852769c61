/**
 * Polar HRM files (Polar HRM file format 1.4): sections in brackets, `[Params]` with start and interval, `[HRData]` with a line per
 * interval, whose first column is the heart rate; with interval 238 a line per beat, which is its RR interval in ms.
 */
import { UnusableContent, type RecordedRow, type Series } from '../recording.ts';
import { offsetsOfIntervals } from './interval-times.ts';

const RR_MODE = 238;
/** Interval 204 stands for a mode without heart rate samples. */
const INTERVAL_MAX = 600;
const BPM_MAX = 65_535;

function sectionsOf(text: string): Map<string, string[]> {
  const sections = new Map<string, string[]>();
  let current: string[] = [];
  for (const raw of text.split('\n')) {
    const line = raw.trim();
    const name = /^\[([^\]]+)\]$/.exec(line)?.[1];
    if (name === undefined) {
      if (line !== '') current.push(line);
    } else {
      current = [];
      sections.set(name.toLowerCase(), current);
    }
  }
  return sections;
}

/** Local time of the watch, taken as UTC. */
function startOf(params: ReadonlyMap<string, string>): number | undefined {
  const date = /^(\d{4})(\d{2})(\d{2})$/.exec(params.get('date') ?? '');
  const clock = /^(\d{1,2}):(\d{2}):(\d{2}(?:\.\d+)?)$/.exec(params.get('starttime') ?? '');
  if (date === null) return undefined;
  const midnight = Date.UTC(Number(date[1]), Number(date[2]) - 1, Number(date[3]));
  const seconds = clock === null ? 0 : Number(clock[1]) * 3600 + Number(clock[2]) * 60 + Number(clock[3]);
  return midnight + seconds * 1000;
}

/** Reads an HRM file. Throws UnusableContent if it has no samples, naming the line that is not a number. */
export function readPolarHrm(text: string): Series {
  const sections = sectionsOf(text);
  const params = new Map(
    (sections.get('params') ?? []).map((line) => {
      const at = line.indexOf('=');
      return [line.slice(0, at).trim().toLowerCase(), line.slice(at + 1).trim()];
    }),
  );
  const data = sections.get('hrdata') ?? [];
  if (data.length === 0) throw new UnusableContent('HRM: no [HRData] section with samples');
  const interval = Number(params.get('interval'));
  const isRr = interval === RR_MODE;
  if (!isRr && !(interval >= 1 && interval <= INTERVAL_MAX))
    throw new UnusableContent(`HRM: Interval=${params.get('interval') ?? ''} in [Params] is no interval in seconds`);
  const values: number[] = [];
  const notes: string[] = [];
  for (const [index, line] of data.entries()) {
    const first = line.split(/\s+/)[0] ?? '';
    const value = /^\d{1,5}$/.test(first) ? Number(first) : NaN;
    if (value <= BPM_MAX) values.push(value);
    else if (index === data.length - 1 && !text.endsWith('\n') && values.length > 0)
      notes.push('the file is cut off within its last line, which was left out');
    else throw new UnusableContent(`HRM: sample ${index + 1} of [HRData] is no number (${first.slice(0, 20)})`);
  }
  const rows: RecordedRow[] = isRr
    ? offsetsOfIntervals(values.map((ms) => ({ bpm: null, rrMs: [ms] }))).rows
    : values.map((bpm, index) => ({ offsetSeconds: index * interval, bpm, rrMs: [] }));
  const monitor = params.get('monitor');
  return {
    format: 'Polar HRM',
    device: monitor === undefined ? 'Polar' : `Polar (monitor ${monitor})`,
    startMs: startOf(params),
    rows,
    notes,
  };
}
