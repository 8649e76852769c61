/** `npm run config`: the effective settings with their source, secrets masked. */
import { effectiveProcessSettings } from '../service/config/config.ts';
import { reportStartFailure } from '../service/process/lifecycle.ts';

try {
  const settings = effectiveProcessSettings();
  const width = Math.max(...settings.map(({ name }) => name.length));
  for (const { name, value, source } of settings)
    console.log(`${name.padEnd(width)}  ${value === '' ? '(not set)' : value}  [${source}]`);
} catch (error) {
  process.exitCode = reportStartFailure(error);
}
