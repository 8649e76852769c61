/** `hr-gateway config`: the settings that the running box uses, each with its source, secrets masked; without a box those of this shell. */
import { effectiveProcessSettings, processConfig, shownSetting, type EffectiveSetting } from '../../service/config/config.ts';
import type { SettingsInEffect } from '../../contract/control.ts';
import { flagOf } from '../frame/options.ts';
import type { AddCommand } from '../frame/program.ts';

interface ShownSetting extends EffectiveSetting {
  /** What the running box uses, if this shell sets another value. */
  in_box?: string;
}

/**
 * As commands use them: what this shell sets, else what the running box uses. In containers a service answers for the settings that it
 * uses, and the shell of its container for the others.
 */
function shownSettings(inEffect: SettingsInEffect): ShownSetting[] {
  return effectiveProcessSettings().map((own): ShownSetting => {
    const used = inEffect[own.name];
    if (used === undefined) return own;
    const value = shownSetting(own.name, used.text);
    if (own.source === 'environment') return { ...own, ...(own.value === value ? {} : { in_box: value }) };
    return { name: own.name, value, source: used.isSet ? 'environment' : 'default' };
  });
}

export const addConfig: AddCommand = (program) => {
  program
    .command('config')
    .summary('print the effective settings')
    .description(
      'Checks all settings and prints the effective values with their source; secrets are masked. While the box runs, these are the ' +
        'values that it uses.',
    )
    .option('--json', 'print them as JSON')
    .action(async (_options: unknown, command) => {
      const { findBox, sayNotRunning, settingsOf } = await import('../box/box.ts');
      const box = await findBox(processConfig());
      const settings = shownSettings(settingsOf(box));
      if (box.running.size === 0 && box.wasUsed) sayNotRunning(box, 'a box that is started here would use:');
      if (flagOf(command, 'json')) return console.log(JSON.stringify(settings, undefined, 2));
      const width = Math.max(...settings.map(({ name }) => name.length));
      for (const { name, value, source, in_box: inBox } of settings) {
        const box = inBox === undefined ? '' : `  (the running box: ${inBox})`;
        console.log(`${name.padEnd(width)}  ${value === '' ? '(not set)' : value}  [${source}]${box}`);
      }
    });
};
