/** One line of the doctor: what was checked, what was found, and what to do about it. */
import { maskSecrets } from '../../service/secrets/mask.ts';

export interface DoctorLine {
  name: string;
  status: 'ok' | 'warn' | 'fail';
  found: string;
  /** What to do; empty if the status is ok. */
  advice: string;
}

/** Lines are printed: credentials in what was found are masked. */
const lineOf = (name: string, status: DoctorLine['status'], found: string, advice: string): DoctorLine => ({
  name,
  status,
  found: maskSecrets(found),
  advice,
});
export const ok = (name: string, found: string): DoctorLine => lineOf(name, 'ok', found, '');
export const warn = (name: string, found: string, advice: string): DoctorLine => lineOf(name, 'warn', found, advice);
export const fail = (name: string, found: string, advice: string): DoctorLine => lineOf(name, 'fail', found, advice);

/** Runs the doctor in the container of a service, with that service's settings and rights. */
export const doctorInContainer = (service: 'ble-bridge' | 'forwarder'): string =>
  `docker compose run --rm --no-deps ${service} hr-gateway doctor`;
