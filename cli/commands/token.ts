/** `hr-gateway token`: prints the operator's token of this box and creates it at first use. */
import { processConfig } from '../../service/config/config.ts';
import type { AddCommand } from '../frame/program.ts';

export const addToken: AddCommand = (program) => {
  program
    .command('token')
    .summary("print the operator's token")
    .description("Prints the operator's token, which the page and the API ask for before a change. Created at first use.")
    .action(async () => {
      const { operatorToken } = await import('../../service/storage/data-dir.ts');
      console.log(operatorToken(processConfig()));
    });
};
