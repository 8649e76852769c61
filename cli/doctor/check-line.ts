/** One line of the doctor: what was checked, what was found, and what to do about it. */
export interface DoctorLine {
  name: string;
  status: 'ok' | 'warn' | 'fail';
  found: string;
  /** What to do; empty if the status is ok. */
  advice: string;
}

export const ok = (name: string, found: string): DoctorLine => ({ name, status: 'ok', found, advice: '' });
export const warn = (name: string, found: string, advice: string): DoctorLine => ({ name, status: 'warn', found, advice });
export const fail = (name: string, found: string, advice: string): DoctorLine => ({ name, status: 'fail', found, advice });

/** Runs the doctor in the container of a service, with that service's settings and rights. */
export const doctorInContainer = (service: 'ble-bridge' | 'forwarder'): string =>
  `docker compose run --rm --no-deps ${service} hr-gateway doctor`;
