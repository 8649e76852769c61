/** `hr-gateway replay`: says what is in recordings, then runs the box in this process with each of them as a strap, to their end. */
import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import type { Recording } from '../../recordings/recording.ts';
import { EXIT_CODES } from '../frame/exit-codes.ts';
import { failureText } from '../frame/failures.ts';
import { flagOf, numberOf } from '../frame/options.ts';
import type { AddCommand } from '../frame/program.ts';

interface ReplayOptions {
  speed: number | undefined;
  maxPauseSeconds: number | undefined;
  dryRun: boolean;
}

const NOTES = `
Files: FIT, TCX, GPX, Polar HRM, CSV, RR intervals, JSON Lines of the stream; plain, .gz or .zip (docs/recordings.md). Each file is a
strap; a file with readings of several straps is several. All start together.

The box runs in this process with the settings of hr-gateway start, and ends once every reading is stored; stop a box that runs on
the same DATA_DIR first. Readings are marked "source":"replay" and have the times of the replay.`;

/** Parser of a speed or a number of seconds. */
function parseFactor(value: string): number {
  const number = /^\d+(?:\.\d+)?$/.test(value) ? Number(value) : NaN;
  if (!Number.isFinite(number)) throw new InvalidArgumentError('It must be a number of at least 0.');
  return number;
}

/** Reads all files and prints what is in them; a file that cannot be used is reported on stderr, and the result is undefined. */
async function recordingsOf(files: readonly string[], maxPauseMs: number, verbose: boolean): Promise<Recording[] | undefined> {
  const { readRecordings } = await import('../../recordings/read-recordings.ts');
  const { planReplay } = await import('../../recordings/replay-plan.ts');
  const { summaryLines } = await import('../../recordings/summary.ts');
  const recordings: Recording[] = [];
  let unusable = 0;
  for (const file of files)
    try {
      for (const recording of await readRecordings(file)) {
        recordings.push(recording);
        for (const line of summaryLines(recording, planReplay(recording, { maxPauseMs }), maxPauseMs)) console.log(line);
      }
    } catch (error) {
      unusable += 1;
      console.error(failureText(error, { verbose }));
    }
  return unusable === 0 ? recordings : undefined;
}

async function replay(
  files: readonly string[],
  { speed, maxPauseSeconds, dryRun }: ReplayOptions,
  command: Command,
  leave: () => void,
) {
  const { childEnvironment, isSet, readConfig } = await import('../../service/config/config.ts');
  const config = readConfig(
    childEnvironment({
      BLE_SOURCE: 'replay',
      REPLAY_FILE: files.join(','),
      REPLAY_LOOP: 'false',
      ...(speed === undefined ? {} : { REPLAY_SPEED: String(speed) }),
      ...(maxPauseSeconds === undefined ? {} : { REPLAY_MAX_PAUSE: String(maxPauseSeconds) }),
      // The progress is the output, unless somebody asks for the log.
      ...(isSet('LOG_LEVEL') ? {} : { LOG_LEVEL: 'error' }),
    }),
  );
  const recordings = await recordingsOf(files, config.REPLAY_MAX_PAUSE * 1000, flagOf(command, 'verbose'));
  if (recordings === undefined) process.exitCode = EXIT_CODES.failed;
  if (recordings === undefined || dryRun) return;
  const { becomeOwnerOf } = await import('../box/owner.ts');
  becomeOwnerOf(config.DATA_DIR);
  leave();
  const { runReplay } = await import('../replay/run-replay.ts');
  await runReplay(config);
}

export const addReplay: AddCommand = (program, frame) => {
  program
    .command('replay')
    .summary('replay recordings of watches and straps as straps')
    .description(
      'Says what is in recordings, then replays them through the box, each as a strap, with the pauses of the recording.',
    )
    .argument('<files...>', 'recordings')
    .option('--speed <factor>', 'so many times as fast; 0: as fast as readings are stored (default: REPLAY_SPEED)', parseFactor)
    .option('--max-pause <seconds>', 'shorten longer pauses to this; 0: keep all (default: REPLAY_MAX_PAUSE)', parseFactor)
    .option('--dry-run', 'only say what is in the files')
    .addHelpText('after', NOTES)
    .action(async (files: string[], _options: unknown, command) => {
      const options = {
        speed: numberOf(command, 'speed'),
        maxPauseSeconds: numberOf(command, 'maxPause'),
        dryRun: flagOf(command, 'dryRun'),
      };
      await replay(files, options, command, () => frame.leaveEndsToCommand());
    });
};
