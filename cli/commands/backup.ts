/** `hr-gateway backup`: has the running forwarder make a consistent copy of its queue, and prints the copy's path and size. */
import type { AddCommand } from '../frame/program.ts';
import { processConfig } from '../../service/config/config.ts';

/** A large queue on a slow SD card takes minutes. */
const BACKUP_LIMIT_MS = 60 * 60_000;

export const addBackup: AddCommand = (program) => {
  program
    .command('backup')
    .summary('copy the queue while it is in use')
    .description(
      'Writes a consistent copy of the queue into DATA_DIR/backups while the forwarder runs, and prints its path and size as JSON.',
    )
    .option('--json', 'as without it')
    .action(async () => {
      const { askBox, findBox } = await import('../box/box.ts');
      const { working } = await import('../frame/working.ts');
      const box = await findBox(processConfig());
      const ask = async () => await askBox(box, 'forwarder', 'backup', {}, { timeoutMs: BACKUP_LIMIT_MS });
      console.log(JSON.stringify(await working('copying the queue', ask)));
    });
};
