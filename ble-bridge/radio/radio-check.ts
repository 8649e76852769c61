/** The health check `radio`: a code of the error catalogue and what was found. */
import { failing, warning, type CheckReport } from '../../service/health/check-report.ts';

export type RadioCheckCode = 'radio_unavailable' | 'radio_stuck' | 'radio_scan_refused';

/** A radio check that is not ok. `hint` replaces the catalogue's if given. */
export function radioCheck(status: 'warn' | 'fail', code: RadioCheckCode, detail: string, hint?: string): CheckReport {
  return (status === 'fail' ? failing : warning)('radio', code, detail, hint);
}
