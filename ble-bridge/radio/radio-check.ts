/** The health check `radio`: a code of the error catalogue and what was found. */
import { ERRORS } from '../../service/errors/error-catalogue.ts';
import type { CheckReport } from '../../service/mqtt/status-reporter.ts';

export type RadioCheckCode = 'radio_unavailable' | 'radio_stuck' | 'radio_scan_refused';

/** A radio check that is not ok. */
export function radioCheck(status: 'warn' | 'fail', code: RadioCheckCode, detail: string): CheckReport {
  return { name: 'radio', status, reason: `${code}: ${detail}`, hint: ERRORS[code].hint };
}
