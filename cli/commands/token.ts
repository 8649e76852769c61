/** `hr-gateway token`: prints the operator's token of this box and creates it at first use, or replaces it. */
import { processConfig } from '../../service/config/config.ts';
import { flagOf } from '../frame/options.ts';
import type { AddCommand } from '../frame/program.ts';

export const addToken: AddCommand = (program) => {
  program
    .command('token')
    .summary("print the operator's token")
    .description("Prints the operator's token, which the page and the API ask for before a change. Created at first use.")
    .option('--rotate', 'replace the token first: the old one and all sessions end within seconds')
    .action(async (_options: unknown, command) => {
      const { operatorToken, rotateOperatorToken } = await import('../../service/storage/data-dir.ts');
      const { requireVolumeOf } = await import('../../service/storage/data-volumes.ts');
      const config = processConfig();
      requireVolumeOf('admin-api', config);
      console.log(flagOf(command, 'rotate') ? rotateOperatorToken(config) : operatorToken(config));
    });
};
