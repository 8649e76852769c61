/** `hr-gateway token`: prints the operator's token of this box, or has the running admin API replace it. */
import path from 'node:path';
import { processConfig } from '../../service/config/config.ts';
import { CommandFailure } from '../frame/failures.ts';
import { flagOf } from '../frame/options.ts';
import type { AddCommand } from '../frame/program.ts';

async function tokenOf(rotate: boolean): Promise<string> {
  const { askBox, findBox, requireUsed, sayNotRunning } = await import('../box/box.ts');
  const box = await findBox(processConfig());
  if (rotate) return (await askBox(box, 'admin-api', 'rotate-token', {})).token;
  requireUsed(box, 'admin-api');
  const { readOperatorToken } = await import('../../service/storage/data-dir.ts');
  const token = readOperatorToken({ DATA_DIR: box.dataDir });
  if (token === undefined)
    throw new CommandFailure(
      `there is no token in ${path.join(box.dataDir, 'token')}: the admin API makes it at its first start`,
    );
  if (!box.running.has('admin-api')) sayNotRunning(box, 'read from the file token');
  return token;
}

export const addToken: AddCommand = (program) => {
  program
    .command('token')
    .summary("print the operator's token")
    .description("Prints the operator's token, which the page and the API ask for before a change.")
    .option('--rotate', 'replace the token first: the old one and all sessions end at once')
    .option('--json', 'print it as JSON')
    .action(async (_options: unknown, command) => {
      const token = await tokenOf(flagOf(command, 'rotate'));
      console.log(flagOf(command, 'json') ? JSON.stringify({ token }) : token);
    });
};
