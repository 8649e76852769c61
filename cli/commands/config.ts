/** `hr-gateway config`: the effective settings with their source, secrets masked. */
import { effectiveProcessSettings } from '../../service/config/config.ts';
import type { AddCommand } from '../frame/program.ts';

export const addConfig: AddCommand = (program) => {
  program
    .command('config')
    .summary('print the effective settings')
    .description('Checks all settings and prints their effective values with their source; secrets are masked.')
    .action(() => {
      const settings = effectiveProcessSettings();
      const width = Math.max(...settings.map(({ name }) => name.length));
      for (const { name, value, source } of settings)
        console.log(`${name.padEnd(width)}  ${value === '' ? '(not set)' : value}  [${source}]`);
    });
};
