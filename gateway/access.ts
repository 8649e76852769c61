/** Who is who: services by their keys, users by their passwords, everybody else anonymous. */
import { timingSafeEqual } from 'node:crypto';
import { SERVICE_NAMES, type ServiceName } from '../contract/topics.ts';
import type { Config } from '../service/config.ts';
import { readOrCreateSecret } from '../service/data-dir.ts';
import { HrError } from '../service/errors.ts';
import { ANONYMOUS_READ, NO_RIGHTS, RightsCheck, SERVICE_RIGHTS } from './rights.ts';
import type { Users } from './users.ts';

/** True for addresses that only this machine reaches. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host.startsWith('127.');
}

function sameText(a: string, b: string): boolean {
  const left = Buffer.from(a);
  const right = Buffer.from(b);
  return left.length === right.length && timingSafeEqual(left, right);
}

export class Access {
  readonly #config: Config;
  readonly #users: Users;
  readonly #keys = new Map<ServiceName, string>();
  readonly #services = new Map<ServiceName, RightsCheck>();
  #anonymous = new RightsCheck(NO_RIGHTS);

  constructor(config: Config, users: Users) {
    this.#config = config;
    this.#users = users;
  }

  /**
   * Reads the keys, making missing ones. Throws HrError `listener_unprotected` where a listener beyond loopback has neither users nor
   * an explicit MQTT_ANONYMOUS.
   */
  start(): void {
    for (const service of SERVICE_NAMES) {
      this.#keys.set(service, readOrCreateSecret(this.#config, service));
      this.#services.set(service, new RightsCheck(SERVICE_RIGHTS[service]));
    }
    this.#users.start();
    const loopback = isLoopback(this.#config.MQTT_LISTEN_HOST);
    const anonymous = this.#config.MQTT_ANONYMOUS ?? (loopback ? 'read' : 'none');
    if (!loopback && this.#config.MQTT_ANONYMOUS === undefined && this.#users.count === 0)
      throw new HrError('listener_unprotected', { operation: 'listen', detail: `MQTT_LISTEN_HOST is ${this.#config.MQTT_LISTEN_HOST}, there are no users, and MQTT_ANONYMOUS is not set` });
    this.#anonymous = new RightsCheck(anonymous === 'read' ? ANONYMOUS_READ : NO_RIGHTS);
  }

  stop(): void {
    this.#users.stop();
  }

  /** What a client may do, or undefined where name or password are wrong. No name: anonymous. */
  async authenticate(username: string | undefined, password: string | undefined): Promise<RightsCheck | undefined> {
    if (username === undefined || username === '') return this.#config.MQTT_ANONYMOUS === 'none' ? undefined : this.#anonymous;
    const service = SERVICE_NAMES.find((name) => name === username);
    if (service !== undefined) return sameText(this.#keys.get(service) ?? '', password ?? '') ? this.#services.get(service) : undefined;
    return await this.#users.authenticate(username, password ?? '');
  }
}
