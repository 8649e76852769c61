/** Authenticates clients: services by their keys, users by their passwords; everybody else is anonymous. */
import { timingSafeEqual } from 'node:crypto';
import { SERVICE_NAMES, type ServiceName } from '../contract/topics.ts';
import { isLoopback } from '../service/network/addresses.ts';
import { networkOf } from '../service/network/client-address.ts';
import type { Config } from '../service/config/config.ts';
import { gatewayName, readOrCreateSecret } from '../service/storage/data-dir.ts';
import { HrError } from '../service/errors/errors.ts';
import type { Identity, Peer } from './identity.ts';
import type { LoginThrottle } from './login-throttle.ts';
import { ANONYMOUS_READ, RightsCheck, serviceRights } from './rights.ts';
import type { Users } from './users.ts';

function sameText(a: string, b: string): boolean {
  const left = Buffer.from(a);
  const right = Buffer.from(b);
  return left.length === right.length && timingSafeEqual(left, right);
}

/** What came of a login. `reason` is for the log; the client learns only that it was refused. */
export type Login = { identity: Identity } | { identity: undefined; delayMs: number; reason: string };

/** A login whose password was not hashed is answered after this long: its client should not come back at once. */
const UNCHECKED_DELAY_MS = 1000;
const WRONG = 'wrong name or password';
const ANONYMOUS_REFUSED: Login = {
  identity: undefined,
  delayMs: 0,
  reason: 'a client without a user name is not accepted here (MQTT_ANONYMOUS)',
};
/** Comparing a key costs nothing, and no rate bounds guesses on the listener for services: so they are slowed down. */
const WRONG_KEY: Login = { identity: undefined, delayMs: UNCHECKED_DELAY_MS, reason: WRONG };
const SERVICES_ONLY: Login = {
  identity: undefined,
  delayMs: UNCHECKED_DELAY_MS,
  reason: 'this port is only for the services of this box (use MQTT_LISTEN_PORT)',
};

/** The hosts that the broker listens on. */
export function listenHosts(
  config: Pick<Config, 'MQTT_LISTEN_HOST' | 'MQTT_TLS_CERT_FILE' | 'MQTT_TLS_LISTEN_HOST'>,
): { setting: string; host: string }[] {
  const plain = { setting: 'MQTT_LISTEN_HOST', host: config.MQTT_LISTEN_HOST };
  return config.MQTT_TLS_CERT_FILE === undefined
    ? [plain]
    : [plain, { setting: 'MQTT_TLS_LISTEN_HOST', host: config.MQTT_TLS_LISTEN_HOST }];
}

export class Access {
  readonly #config: Config;
  readonly #users: Users;
  readonly #throttle: LoginThrottle;
  /** Logins that are being checked, by key, user and password. */
  readonly #pending = new Map<string, Promise<Login>>();
  readonly #services = new Map<ServiceName, { key: string; identity: Identity }>();
  readonly #anonymous: Identity = { kind: 'anonymous', name: '', rights: new RightsCheck(ANONYMOUS_READ) };

  constructor(config: Config, users: Users, throttle: LoginThrottle) {
    this.#config = config;
    this.#users = users;
    this.#throttle = throttle;
  }

  /**
   * Reads the keys and creates missing ones. Throws HrError `listener_unprotected` if a listener beyond loopback has neither users nor
   * an explicit MQTT_ANONYMOUS.
   */
  start(): void {
    const rights = serviceRights(gatewayName(this.#config));
    for (const name of SERVICE_NAMES)
      this.#services.set(name, {
        key: readOrCreateSecret(this.#config, name),
        identity: { kind: 'service', name, rights: new RightsCheck(rights[name]) },
      });
    this.#users.start();
    const open = listenHosts(this.#config).find(({ host }) => !isLoopback(host));
    if (open !== undefined && this.#config.MQTT_ANONYMOUS === undefined && this.#users.count === 0)
      throw new HrError('listener_unprotected', {
        operation: 'listen',
        detail: `${open.setting} is ${open.host}, there are no users, and MQTT_ANONYMOUS is not set`,
      });
  }

  stop(): void {
    this.#users.stop();
  }

  /** The identity of a client, or for how long to delay the refusal. A client without a name is anonymous. */
  async authenticate(username: string | undefined, password: string | undefined, peer: Peer): Promise<Login> {
    if (username === undefined || username === '') {
      if (peer.servicesOnly === true) return SERVICES_ONLY;
      const granted = this.#config.MQTT_ANONYMOUS ?? (peer.loopback ? 'read' : 'none');
      return granted === 'read' ? { identity: this.#anonymous } : ANONYMOUS_REFUSED;
    }
    const given = password ?? '';
    const service = SERVICE_NAMES.find((name) => name === username);
    if (service !== undefined) {
      const known = this.#services.get(service);
      return known !== undefined && sameText(known.key, given) ? { identity: known.identity } : WRONG_KEY;
    }
    if (peer.servicesOnly === true) return SERVICES_ONLY;
    const known = this.#users.known(username, given);
    if (known !== undefined) return { identity: known };
    // All names that do not exist are one: a flood of them takes one turn of the others' each round.
    const key = `${networkOf(peer.address)} ${this.#users.has(username) ? username : ''}`;
    // All connections of an app come back at once after a restart: their password is checked once.
    const same = `${key} ${username} ${this.#users.digestOf(given)}`;
    const login = this.#pending.get(same) ?? this.#check(key, username, given);
    this.#pending.set(same, login);
    try {
      return await login;
    } finally {
      this.#pending.delete(same);
    }
  }

  async #check(key: string, username: string, password: string): Promise<Login> {
    const state = { isChecked: false };
    const identity = await this.#throttle.inTurn(key, async () => {
      state.isChecked = true;
      return this.#users.known(username, password) ?? (await this.#users.authenticate(username, password));
    });
    if (identity !== undefined) {
      this.#throttle.succeeded(key);
      return { identity };
    }
    return state.isChecked
      ? { identity: undefined, delayMs: this.#throttle.failed(key), reason: WRONG }
      : { identity: undefined, delayMs: UNCHECKED_DELAY_MS, reason: 'too many attempts, so the password was not checked' };
  }
}
