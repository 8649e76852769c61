/** `hr-gateway prepare-volumes`: run by docker-compose.yml before the services; gives each of them a volume of its own. */
import { processConfig } from '../../service/config/config.ts';
import type { AddCommand } from '../frame/program.ts';

/** Where docker-compose.yml mounts the volumes. */
const ROOT = '/volumes';

export const addPrepareVolumes: AddCommand = (program) => {
  program
    .command('prepare-volumes', { hidden: true })
    .description('For docker-compose.yml: moves the files of each service into its own volume, from the one volume of 1.0.0.')
    .argument('[root]', 'folder that holds a folder for each service', ROOT)
    .action(async (root: string) => {
      process.umask(0o077);
      const { createLogger } = await import('../../service/log/log.ts');
      const { prepareVolumes } = await import('../../service/storage/data-volumes.ts');
      prepareVolumes({ root, log: createLogger('prepare-volumes', processConfig()) });
    });
};
