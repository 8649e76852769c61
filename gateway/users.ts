/**
 * Users of the broker: names, scrypt hashes and rights in DATA_DIR/users.json (user-changes.ts writes it). The file is read again when it
 * changes, without a restart.
 */
import { createHmac, randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { statSync } from 'node:fs';
import path from 'node:path';
import { parseUsersFile, type User } from '../contract/users-file.ts';
import type { Config } from '../service/config/config.ts';
import { writeFileAtomic, dataFolder } from '../service/storage/data-dir.ts';
import { readIfExists } from '../service/storage/read-file.ts';
import { HrError } from '../service/errors/errors.ts';
import { RepeatLimiter, type Logger } from '../service/log/log.ts';
import type { Identity } from './identity.ts';
import { bridgeRights, filterFault, formerRights, grantedFilters, OPERATOR_READ, RightsCheck, type Rights } from './rights.ts';

const HASH_BYTES = 32;
const CHECK_EVERY_MS = 2000;

async function hashOf(password: string, salt: Buffer): Promise<Buffer> {
  return await new Promise((resolve, reject) =>
    scrypt(password, salt, HASH_BYTES, (error, hash) => (error === null ? resolve(hash) : reject(error))),
  );
}

/** A user with this password, ready to be written; with `bridge`, the bridge of the box of that name; with `operator`, a reader of all. */
export async function newUser(password: string, rights: Omit<User, 'salt' | 'hash'>): Promise<User> {
  const salt = randomBytes(16);
  return { salt: salt.toString('base64'), hash: (await hashOf(password, salt)).toString('base64'), ...rights };
}

function identityOf(name: string, { publish, subscribe, bridge, formerly = [], operator }: User): Identity {
  const granted: Rights = { publish, subscribe: [...grantedFilters(subscribe), ...(operator === true ? OPERATOR_READ : [])] };
  if (bridge === undefined) return { kind: 'user', name, rights: new RightsCheck(granted) };
  const own = [bridgeRights(bridge), ...formerly.map(formerRights)];
  const rights = {
    publish: [...own.flatMap((some) => some.publish), ...publish],
    subscribe: [...own.flatMap((some) => some.subscribe), ...granted.subscribe],
  };
  return { kind: 'bridge', name, rights: new RightsCheck(rights) };
}

const fileOf = (config: Pick<Config, 'DATA_DIR'>): string => path.join(config.DATA_DIR, 'users.json');

/** All users; none if there is no file. Throws HrError `users_unreadable`. */
export function readUsers(config: Pick<Config, 'DATA_DIR'>): Record<string, User> {
  let text: string | undefined;
  try {
    text = readIfExists(fileOf(config));
  } catch (error) {
    throw new HrError('users_unreadable', { operation: 'read users.json', detail: String(error), cause: error });
  }
  if (text === undefined) return {};
  const parsed = parseUsersFile(text);
  if (!parsed.ok) throw new HrError('users_unreadable', { operation: 'read users.json', detail: parsed.reason });
  const users = parsed.value;
  for (const [name, user] of Object.entries(users))
    for (const kind of ['publish', 'subscribe'] as const)
      for (const filter of user[kind]) {
        const fault = filterFault(kind, filter);
        if (fault !== undefined)
          throw new HrError('users_unreadable', { operation: 'read users.json', detail: `${name}: ${kind} ${filter}: ${fault}` });
      }
  return users;
}

export function writeUsers(config: Pick<Config, 'DATA_DIR'>, users: Record<string, User>): void {
  dataFolder(config);
  writeFileAtomic(fileOf(config), `${JSON.stringify(users, null, 2)}\n`, 0o600);
}

export class Users {
  readonly #config: Config;
  readonly #log: Logger;
  readonly #repeats: RepeatLimiter;
  readonly #onChange: () => void;
  #users = new Map<string, { user: User; identity: Identity }>();
  /** Passwords that were correct before, as keyed digests in memory only: they are not hashed with scrypt again. */
  readonly #right = new Map<string, Buffer>();
  readonly #digestKey = randomBytes(32);
  #seen = '';
  #timer: NodeJS.Timeout | undefined;

  /** `onChange`: the file was read again; check the connected clients with `isCurrent`. */
  constructor(config: Config, log: Logger, onChange: () => void) {
    this.#config = config;
    this.#log = log;
    this.#repeats = new RepeatLimiter(log);
    this.#onChange = onChange;
  }

  get count(): number {
    return this.#users.size;
  }

  has(name: string): boolean {
    return this.#users.has(name);
  }

  start(): void {
    this.#take(readUsers(this.#config));
    this.#seen = this.#stamp();
    this.#timer = setInterval(() => this.reload(), CHECK_EVERY_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #stamp(): string {
    try {
      const { mtimeMs, size, ino } = statSync(fileOf(this.#config));
      return `${mtimeMs} ${size} ${ino}`;
    } catch {
      return '';
    }
  }

  #take(users: Record<string, User>): void {
    // A user that did not change keeps its identity object, and so stays connected.
    const before = this.#users;
    this.#users = new Map(
      Object.entries(users).map(([name, user]) => {
        const old = before.get(name);
        return [
          name,
          old !== undefined && JSON.stringify(old.user) === JSON.stringify(user)
            ? old
            : { user, identity: identityOf(name, user) },
        ];
      }),
    );
    // Passwords of users that did not change stay verified.
    for (const name of this.#right.keys()) if (this.#users.get(name) !== before.get(name)) this.#right.delete(name);
  }

  /** Takes what was written to the file meanwhile; called now and then, and after a change by this process. */
  reload(): void {
    const stamp = this.#stamp();
    if (stamp === this.#seen) return;
    try {
      this.#take(readUsers(this.#config));
      // Not before: what the disk did not return, or a person corrects, is read again.
      this.#seen = stamp;
      this.#onChange();
      this.#log.info({ event: 'users_reloaded', users: this.count }, 'users.json was read again');
    } catch (error) {
      this.#repeats.error(
        'users_unreadable',
        { event: 'users_unreadable', err: error },
        'users.json cannot be read: the previous users stay valid',
      );
    }
  }

  /** False if a user was removed, or its password or rights changed. */
  isCurrent(identity: Identity): boolean {
    return identity.kind === 'service' || identity.kind === 'anonymous' || this.#users.get(identity.name)?.identity === identity;
  }

  #digest(password: string): Buffer {
    return createHmac('sha256', this.#digestKey).update(password).digest();
  }

  /** Stands for a password while this process runs. */
  digestOf(password: string): string {
    return this.#digest(password).toString('base64');
  }

  /** The user, if this password was verified before. */
  known(name: string, password: string): Identity | undefined {
    const digest = this.#right.get(name);
    return digest !== undefined && timingSafeEqual(digest, this.#digest(password)) ? this.#users.get(name)?.identity : undefined;
  }

  /** The user, or undefined; takes as long for a name that does not exist. */
  async authenticate(name: string, password: string): Promise<Identity | undefined> {
    const entry = this.#users.get(name);
    const salt = entry === undefined ? randomBytes(16) : Buffer.from(entry.user.salt, 'base64');
    const hash = await hashOf(password, salt);
    // Checked again: the file may have been read again meanwhile.
    if (entry === undefined || this.#users.get(name) !== entry) return undefined;
    const right = Buffer.from(entry.user.hash, 'base64');
    if (right.length !== hash.length || !timingSafeEqual(right, hash)) return undefined;
    this.#right.set(name, this.#digest(password));
    return entry.identity;
  }
}
