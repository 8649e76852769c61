/** `hr-gateway verify`: proves from a stream, or from the files that Firehose made of it, whether a reading is missing. */
import { statSync } from 'node:fs';
import type { RunReport, VerifyReport } from '../../cloud/verify/verify.ts';
import { STREAM_ADDRESS, targetStream } from '../../service/config/stream-address.ts';
import { EXIT_CODES } from '../frame/exit-codes.ts';
import { CommandFailure } from '../frame/failures.ts';
import { flagOf, numberOf, parsePositiveInteger } from '../frame/options.ts';
import type { AddCommand } from '../frame/program.ts';

interface VerifyOptions {
  json: boolean;
  requireClosed: boolean;
  /** The data begins later than the runs in it. */
  partial: boolean;
  settleMinutes: number | undefined;
}

const MINUTE_MS = 60_000;
const SECONDS_PER_MINUTE = 60;

const isFile = (source: string): boolean => statSync(source, { throwIfNoEntry: false }) !== undefined;

async function verify(source: string | undefined, { partial, settleMinutes }: VerifyOptions): Promise<VerifyReport> {
  const { verifyFolder, verifyStream } = await import('../../cloud/verify/verify.ts');
  const options = { beginsLater: partial, settleMs: (settleMinutes ?? 0) * MINUTE_MS };
  if (source !== undefined && isFile(source)) {
    const { working } = await import('../frame/working.ts');
    return await working(`reading ${source}`, async () => await verifyFolder(source, options));
  }
  if (source !== undefined && /[/\\]/.test(source) && !STREAM_ADDRESS.test(source))
    throw new CommandFailure(`there is no folder ${source}`);
  const { findBoxWithConfig } = await import('../box/box.ts');
  const { config } = await findBoxWithConfig();
  const { streamClient, streamFailure } = await import('../stream-client.ts');
  const client = await streamClient(config);
  const stream = source ?? targetStream(config);
  try {
    const { working } = await import('../frame/working.ts');
    return await working(`reading stream ${stream}`, async () => await verifyStream(client, { stream, ...options }));
  } catch (error) {
    throw streamFailure(config, stream, error);
  } finally {
    client.destroy();
  }
}

const count = (number: number, what: string): string => `${number} ${what}${number === 1 ? '' : 's'}`;

function* linesOf(report: VerifyReport): Generator<string> {
  let gateway: string | undefined;
  for (const run of report.runs) {
    if (run.gateway !== gateway) yield `${run.gateway}`;
    ({ gateway } = run);
    yield `  ${run.run}  ${run.verdict}`;
  }
  for (const { gateway: box, device, cause, count: gaps, seconds } of report.gaps)
    yield `no data: ${box} ${device}: ${cause}, ${count(gaps, 'time')}, ${Math.round(seconds / SECONDS_PER_MINUTE)} min`;
  if (report.unnumbered > 0) yield `${count(report.unnumbered, 'reading')} without identity: nothing can be said about these`;
  if (report.foreign > 0) yield `${count(report.foreign, 'record')} that are no readings`;
  if (report.invalid_accounts > 0) yield `${count(report.invalid_accounts, 'account')} ignored: not valid`;
  for (const { file, reason } of report.unreadable) yield `UNREADABLE ${file}: ${reason}`;
  yield summaryOf(report);
}

function summaryOf({ runs, ok, records, unreadable }: VerifyReport): string {
  const sum = (of: (run: RunReport) => number): number => runs.reduce((total, run) => total + of(run), 0);
  const parts = [
    `${count(records, 'record')}, ${count(runs.length, 'run')}`,
    `${runs.filter(({ closed }) => !closed).length} not yet closed`,
    `${sum(({ seqs }) => seqs.lost)} missing with cause`,
    `${sum(({ seqs }) => seqs.unexplained)} missing without cause`,
    `${sum(({ duplicates }) => duplicates)} duplicates`,
  ];
  const fault = unreadable.length > 0 ? 'NOT READ WHOLE' : 'NOT OK';
  return `${ok ? 'OK' : fault}: ${parts.join('; ')}`;
}

export const addVerify: AddCommand = (program) => {
  program
    .command('verify')
    .summary('prove from a stream or its files that nothing is missing')
    .description(
      'Reads a folder of JSON Lines (plain or gzipped, as Firehose writes them), or a stream, and reports for each gateway and run ' +
        'whether every reading is there: complete, missing with its cause, missing without cause, duplicates, or not yet closed. ' +
        'Exit code 1 if a reading is missing without cause or a file cannot be read, 2 with --require-closed if a run is not closed.',
    )
    .argument('[source]', 'folder, file, or name or ARN of a stream; default: KINESIS_STREAM')
    .option('--json', 'print the report as JSON')
    .option('--require-closed', 'exit with 2 if a run may still get readings')
    .option('--partial', 'the data begins later than its runs: what is missing before the first reading of a run is no loss')
    .option(
      '--settle-minutes <number>',
      'what newer accounts claim as shipped may be on its way (Firehose buffers up to 15 minutes)',
      parsePositiveInteger,
    )
    .action(async (source: string | undefined, _options: unknown, command) => {
      const options: VerifyOptions = {
        json: flagOf(command, 'json'),
        requireClosed: flagOf(command, 'requireClosed'),
        partial: flagOf(command, 'partial'),
        settleMinutes: numberOf(command, 'settleMinutes'),
      };
      const report = await verify(source, options);
      if (report.records === 0 && report.unreadable.length === 0)
        throw new CommandFailure(`no records in ${source ?? 'the stream'}: nothing is proved`);
      if (options.json) console.log(JSON.stringify(report, undefined, 2));
      else for (const line of linesOf(report)) console.log(line);
      if (!report.ok) process.exitCode = EXIT_CODES.failed;
      else if (options.requireClosed && !report.all_closed) process.exitCode = EXIT_CODES.usage;
    });
};
