/** `hr-gateway start`: all services in this process, as `npm start` runs them. */
import { siblingModule } from '../../service/process/worker-thread.ts';
import { processConfig } from '../../service/config/config.ts';
import type { AddCommand } from '../frame/program.ts';

const NOTES = `
Ctrl-C and SIGTERM stop all services in order, with exit code 0. A faulty setting ends it with exit code 78.`;

/** Undefined if the settings are faulty: the start reports that, with its own exit code. */
function dataDirOfProcess(): string | undefined {
  try {
    return processConfig().DATA_DIR;
  } catch {
    return undefined;
  }
}

export const addStart: AddCommand = (program, frame) => {
  program
    .command('start')
    .summary('run all services in this process')
    .description('Runs all services of the box in this process until it is stopped.')
    .addHelpText('after', NOTES)
    .action(async () => {
      const { becomeOwnerOf } = await import('../box/owner.ts');
      const dataDir = dataDirOfProcess();
      if (dataDir !== undefined) becomeOwnerOf(dataDir);
      frame.leaveEndsToCommand();
      // An entry point of its own: importing it runs the services, and it ends the process.
      await import(siblingModule(import.meta.url, '../../start').href);
    });
};
