/** `hr-gateway restore`: puts a backup of the queue in the place of the queue of a stopped box; the old queue is kept. */
import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { processConfig } from '../../service/config/config.ts';
import { messageOf, systemCodeOf } from '../../service/errors/errors.ts';
import { EXIT_CODES } from '../frame/exit-codes.ts';
import { CommandFailure } from '../frame/failures.ts';
import { flagOf } from '../frame/options.ts';
import type { AddCommand } from '../frame/program.ts';

interface Backup {
  file: string;
  bytes: number;
}

/** The backups in DATA_DIR, oldest first. */
function backupsIn(dataDir: string): Backup[] {
  const folder = path.join(dataDir, 'backups');
  try {
    return readdirSync(folder)
      .filter((name) => name.endsWith('.db'))
      .sort()
      .map((name) => ({ file: path.join(folder, name), bytes: statSync(path.join(folder, name)).size }));
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return [];
    throw new CommandFailure(`cannot read ${folder}: ${messageOf(error)}`, { cause: error });
  }
}

const NOTES = `
The readings of the old queue that were not shipped yet are in the kept folder only. Stop the box first; in containers:
docker compose stop forwarder && docker compose run --rm --no-deps forwarder hr-gateway restore FILE`;

export const addRestore: AddCommand = (program) => {
  program
    .command('restore')
    .summary('put a backup in the place of the queue of a stopped box')
    .description(
      'Checks a backup that hr-gateway backup made and puts it in the place of the queue. Refused while the box runs; the old queue is ' +
        'kept in DATA_DIR.',
    )
    .argument('[file]', 'the backup; --list prints those in DATA_DIR/backups')
    .option('--list', 'list the backups instead')
    .option('--json', 'print the result as JSON')
    .addHelpText('after', NOTES)
    .action(async (file: string | undefined, _options: unknown, command) => {
      const { findBox, requireUsed } = await import('../box/box.ts');
      const isJson = flagOf(command, 'json');
      if (file === undefined && !flagOf(command, 'list'))
        command.error("missing required argument 'file'", { exitCode: EXIT_CODES.usage });
      const box = await findBox(processConfig());
      requireUsed(box, 'forwarder');
      if (file === undefined) {
        const backups = backupsIn(box.dataDir);
        if (isJson) console.log(JSON.stringify(backups, undefined, 2));
        else for (const backup of backups) console.log(`${backup.file}  ${backup.bytes} bytes`);
        return;
      }
      console.error(`checking ${file}, then putting it in the place of the queue in ${box.dataDir} …`);
      const { restoreBackup } = await import('../../forwarder/queue/restore-backup.ts');
      const restored = restoreBackup({ DATA_DIR: box.dataDir }, path.resolve(file));
      if (isJson) return console.log(JSON.stringify(restored));
      console.log(`restored ${restored.queued} queued readings and ${restored.dead} dead letters; start the box again`);
      if (restored.kept !== null) console.log(`the old queue is in ${restored.kept}`);
    });
};
