/** The check of the log, reported only if lines of it were lost, and the count of lost lines. */
import type { ValuedMetric } from '../../contract/metrics.ts';
import { standardOutput } from '../log/log-output.ts';
import { Counter } from '../metrics/metrics.ts';
import { warning, type CheckReport } from './check-report.ts';

/** One check, or none if all log lines of this process were written. */
export function logChecks(): CheckReport[] {
  const { trouble } = standardOutput;
  if (trouble === undefined) return [];
  const lost = `${trouble.lostLines} log lines of this process were lost`;
  return [warning('log', 'log_lines_lost', trouble.failing ? `${trouble.reason}; ${lost}` : `${lost} (${trouble.reason})`)];
}

/** Lines lost since the process of this service started. Services of one process share its log, and report the same number. */
export function logMetric(service: string): ValuedMetric {
  const counter = new Counter('hr_gateway_log_lines_lost_total', 'Log lines of the process that could not be written');
  counter.setTo(standardOutput.lostLines, { service });
  return counter.read();
}
