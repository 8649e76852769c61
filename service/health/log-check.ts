/** The check of the log: reported only if lines of it were lost. */
import { standardOutput } from '../log/log-output.ts';
import { warning, type CheckReport } from './check-report.ts';

/** One check, or none if all log lines of this process were written. */
export function logChecks(): CheckReport[] {
  const { trouble } = standardOutput;
  if (trouble === undefined) return [];
  const lost = `${trouble.lostLines} log lines of this process were lost`;
  return [warning('log', 'log_lines_lost', trouble.failing ? `${trouble.reason}; ${lost}` : `${lost} (${trouble.reason})`)];
}
