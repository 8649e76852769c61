/** `hr-gateway drill`: proves on a scratch pipeline that failures lose no reading. */
import { EXIT_CODES } from '../frame/exit-codes.ts';
import { flagOf } from '../frame/options.ts';
import type { AddCommand } from '../frame/program.ts';

export const addDrill: AddCommand = (program) => {
  program
    .command('drill')
    .summary('prove on a scratch pipeline that failures lose no reading')
    .description(
      'Starts the pipeline with simulated straps and the local stream in a scratch folder, cuts the stream, kills the forwarder, ' +
        'restores both, and accounts for every reading. Takes about a minute and touches no data of this box.',
    )
    .option('--json', 'print the account as JSON, and the progress on stderr')
    .action(async (_options: unknown, command) => {
      const { runDrill } = await import('./drill.ts');
      if (!(await runDrill({ json: flagOf(command, 'json') }))) process.exitCode = EXIT_CODES.failed;
    });
};
