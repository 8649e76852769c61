/** `hr-gateway export`: a session of a strap, from the stream, as a file that GoldenCheetah, other programs and our own replay read. */
import { Option } from 'commander';
import type { Session } from '../../recordings/export/session.ts';
import { CommandFailure } from '../frame/failures.ts';
import { flagOf, numberOf, parsePositiveInteger, textOf } from '../frame/options.ts';
import type { AddCommand } from '../frame/program.ts';

type Format = 'csv' | 'tcx';

interface ExportOptions {
  format: Format;
  list: boolean;
  /** Number in the list; undefined: the last. */
  session: number | undefined;
  /** Only readings of the last so many minutes. */
  minutes: number | undefined;
  /** `-`: standard output; undefined: a file named after start and strap. */
  output: string | undefined;
  json: boolean;
}

const MINUTE_MS = 60_000;

/** All sessions of the strap in the stream, and the straps that are there. */
async function sessionsInStream(device: string, minutes: number | undefined): Promise<{ sessions: Session[]; straps: string[] }> {
  const { findBoxWithConfig } = await import('../box/box.ts');
  const { config } = await findBoxWithConfig();
  const { readStream } = await import('../../cloud/reader/read-stream.ts');
  const { StrapReadings } = await import('../../recordings/export/session.ts');
  const { streamClient, streamFailure } = await import('../stream-client.ts');
  const client = await streamClient(config);
  const readings = new StrapReadings(device);
  const straps = new Set<string>();
  const { Working } = await import('../frame/working.ts');
  let read = 0;
  const progress = new Working(`reading stream ${config.KINESIS_STREAM}`, () => `${read} records`);
  try {
    for await (const { reading } of readStream(client, { stream: config.KINESIS_STREAM, from: 'oldest', untilCaughtUp: true })) {
      read += 1;
      if (reading?.device === undefined) continue;
      straps.add(reading.device);
      readings.add(reading);
    }
  } catch (error) {
    throw streamFailure(config, config.KINESIS_STREAM, error);
  } finally {
    progress.done();
    client.destroy();
  }
  const sinceMs = minutes === undefined ? undefined : Date.now() - minutes * MINUTE_MS;
  return { sessions: readings.sessions(sinceMs), straps: [...straps].sort() };
}

/** GoldenCheetah reads the start from such a name: 2026_11_30_07_30_00_polar-h10-a1b2c3.csv, in local time. */
function fileName({ device, readings }: Session, format: Format): string {
  const start = new Date(readings[0]?.atMs ?? 0);
  const parts = [start.getMonth() + 1, start.getDate(), start.getHours(), start.getMinutes(), start.getSeconds()];
  const time = [start.getFullYear(), ...parts.map((part) => String(part).padStart(2, '0'))].join('_');
  return `${time}_${device.replace(/[^\p{L}\p{N}-]/gu, '-')}.${format}`;
}

interface SessionFacts {
  session: number;
  start: string;
  minutes: number;
  readings: number;
  rr_intervals: number;
}

function sessionFacts({ readings }: Session, index: number): SessionFacts {
  const first = readings[0]?.atMs ?? 0;
  return {
    session: index + 1,
    start: new Date(first).toISOString(),
    minutes: Math.round(((readings.at(-1)?.atMs ?? first) - first) / MINUTE_MS),
    readings: readings.length,
    rr_intervals: readings.reduce((sum, { rrMs }) => sum + rrMs.length, 0),
  };
}

function lineOf(each: Session, index: number): string {
  const { session, start, minutes, readings, rr_intervals: intervals } = sessionFacts(each, index);
  return `${session}  ${start}  ${minutes} min  ${readings} readings  ${intervals} RR intervals`;
}

async function write(session: Session, { format, output, json }: ExportOptions): Promise<void> {
  const { csvLines, rrLines } = await import('../../recordings/export/csv-export.ts');
  const { tcxLines } = await import('../../recordings/export/tcx-export.ts');
  const text = [...(format === 'csv' ? csvLines(session) : tcxLines(session))].join('');
  if (output === '-') {
    process.stdout.write(text);
    return;
  }
  const { writeFile } = await import('node:fs/promises');
  const file = output ?? fileName(session, format);
  const files = [file];
  await writeFile(file, text);
  const hasIntervals = session.readings.some(({ rrMs }) => rrMs.length > 0);
  if (format === 'csv' && hasIntervals && /\.csv$/i.test(file)) {
    files.push(file.replace(/\.csv$/i, '.rr'));
    await writeFile(files[1] ?? '', [...rrLines(session)].join(''));
  }
  if (json) return console.log(JSON.stringify({ files, readings: session.readings.length }));
  console.log(`wrote ${session.readings.length} readings to ${files.join(', with the RR intervals for GoldenCheetah in ')}`);
}

async function exportSession(device: string, options: ExportOptions): Promise<void> {
  const { list, session, minutes, json } = options;
  const { sessions, straps } = await sessionsInStream(device, minutes);
  if (sessions.length === 0) {
    const others = straps.length === 0 ? 'the stream has no readings' : `straps in the stream: ${straps.slice(0, 20).join(', ')}`;
    throw new CommandFailure(
      `no readings of ${device}${minutes === undefined ? '' : ` in the last ${minutes} minutes`}; ${others}`,
    );
  }
  if (list && json) return console.log(JSON.stringify(sessions.map(sessionFacts)));
  if (list) {
    for (const [index, each] of sessions.entries()) console.log(lineOf(each, index));
    return;
  }
  const chosen = session === undefined ? sessions.at(-1) : sessions[session - 1];
  if (chosen === undefined) throw new CommandFailure(`${device} has ${sessions.length} sessions; --list shows them`);
  await write(chosen, options);
}

export const addExport: AddCommand = (program) => {
  program
    .command('export')
    .summary('write a session of a strap as CSV or TCX')
    .description(
      'Reads the stream and writes a session of a strap, which is what lies between pauses of half an hour: the last one, unless told ' +
        'otherwise. GoldenCheetah reads the files, and hr-gateway replay gets the same heart rates, times and RR intervals back.',
    )
    .argument('<device>', 'name of the strap, as in hr/<device>/bpm')
    .addOption(new Option('--format <format>', 'format of the file').choices(['csv', 'tcx']).default('csv'))
    .option('--list', 'list the sessions of the strap instead')
    .option('--session <number>', 'this session of the list', parsePositiveInteger)
    .option('--minutes <number>', 'only the readings of the last so many minutes', parsePositiveInteger)
    .option('--output <file>', 'write to this file; -: to standard output (default: a name from start and strap)')
    .option('--json', 'print what was written, or the list, as JSON')
    .action(async (device: string, _options: unknown, command) => {
      await exportSession(device, {
        format: textOf(command, 'format') === 'tcx' ? 'tcx' : 'csv',
        list: flagOf(command, 'list'),
        session: numberOf(command, 'session'),
        minutes: numberOf(command, 'minutes'),
        output: textOf(command, 'output'),
        json: flagOf(command, 'json'),
      });
    });
};
