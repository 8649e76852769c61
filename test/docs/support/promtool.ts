/** Prometheus' own checks of rules, metrics and queries. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export const alertsFile = fileURLToPath(new URL('../../../docs/alerts.yaml', import.meta.url));

/** The reason to skip checks by promtool (Debian package prometheus), or false if it is installed. With CI=true its absence is an error. */
export function promtoolMissing(): string | false {
  if (spawnSync('promtool', ['--version']).status === 0) return false;
  if (process.env['CI'] === 'true') throw new Error('promtool is missing in CI: install the Debian package prometheus');
  return 'promtool is not installed: metrics and alert rules are not checked';
}

/** What promtool reports; empty if it has nothing to report. */
export function promtool(args: string[], input?: string): string {
  const { status, stdout, stderr } = spawnSync('promtool', args, { input, encoding: 'utf8' });
  return status === 0 ? '' : `${stdout}${stderr}`;
}
