/** One line of the doctor: what was looked at, how it is, and what to do where it is not well. */
export interface DoctorLine {
  name: string;
  status: 'ok' | 'warn' | 'fail';
  found: string;
  /** What to do; empty where all is well. */
  advice: string;
}

export const ok = (name: string, found: string): DoctorLine => ({ name, status: 'ok', found, advice: '' });
export const warn = (name: string, found: string, advice: string): DoctorLine => ({ name, status: 'warn', found, advice });
export const fail = (name: string, found: string, advice: string): DoctorLine => ({ name, status: 'fail', found, advice });
