/** `hr-gateway doctor`: checks everything that the gateway needs; exit code 1 if a check fails. */
import { EXIT_CODES } from '../frame/exit-codes.ts';
import { flagOf } from '../frame/options.ts';
import type { AddCommand } from '../frame/program.ts';

export const addDoctor: AddCommand = (program) => {
  program
    .command('doctor')
    .summary('check everything that the gateway needs')
    .description(
      'Checks adapter, clock, disk, broker, services, queue and stream: a line each with ok, warn or FAIL, and what to do. ' +
        'Opens no radio, so it does not disturb a running bridge.',
    )
    .option('--json', 'print the lines as JSON')
    .action(async (_options: unknown, command) => {
      const { findBoxWithConfig } = await import('../box/box.ts');
      const { box, config } = await findBoxWithConfig();
      const { examine, textOfLines } = await import('./doctor.ts');
      const lines = await examine(config, box);
      console.log(flagOf(command, 'json') ? JSON.stringify(lines, null, 2) : textOfLines(lines));
      if (lines.some(({ status }) => status === 'fail')) process.exitCode = EXIT_CODES.failed;
    });
};
