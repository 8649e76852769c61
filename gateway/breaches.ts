/** Counts the limits that clients ran into, names each in the log, rate-limited, and tells health who runs into them at the moment. */
import { RepeatLimiter, type Logger } from '../service/log/log.ts';
import { networkOf } from '../service/network/client-address.ts';
import { Offenders } from './budgets/offenders.ts';

/** What the log says of breaches that a person sees while setting up a client; docs/mqtt-clients.md quotes them. */
const MESSAGES: Readonly<Record<string, string>> = {
  login: 'refusing a login',
  subscribe_right: 'refusing a subscription: the client has no right to this filter',
  publish_right: 'closing a connection: the client has no right to publish this topic',
  protocol: 'closing a connection: it does not speak MQTT 3.1.1 (TLS belongs on the port for TLS)',
};

/** Who broke a limit, and what else is worth a log field. */
export interface BreachFields {
  user?: string;
  address?: string;
  [field: string]: unknown;
}

export interface BreachOptions {
  /** How much it counts in the search for the worst party. */
  weight?: number;
  /** That party, if not the one in the fields. */
  blame?: string;
  /** Why, for the log. One of a few texts: each has a line of its own a minute. */
  reason?: string;
}

/** The party that a breach is blamed on: the user, or the address of a client without one. */
export function partyName({ user, address }: Pick<BreachFields, 'user' | 'address'>): string {
  if (user !== undefined && user !== '') return `user ${user}`;
  return `address ${networkOf(address)}`;
}

export class Breaches {
  readonly offenders = new Offenders();
  readonly #counts: Record<string, number> = {};
  readonly #repeats: RepeatLimiter;

  constructor(log: Logger) {
    this.#repeats = new RepeatLimiter(log);
  }

  /** Counts a breach and logs it. */
  add(limit: string, fields: BreachFields = {}, { weight = 1, blame, reason }: BreachOptions = {}): void {
    this.#counts[limit] = (this.#counts[limit] ?? 0) + 1;
    const party = blame ?? (fields.user === undefined && fields.address === undefined ? undefined : partyName(fields));
    if (party !== undefined) this.offenders.note(party, limit, weight);
    // Each user that has logged in is named; what strangers do is one line a minute, however many there are.
    const named = blame === undefined && fields.user !== undefined && fields.user !== '' ? `${limit} ${fields.user}` : limit;
    const message = MESSAGES[limit] ?? `a client exceeded the limit ${limit}`;
    this.#repeats.warn(
      reason === undefined ? named : `${named} ${reason}`,
      { event: 'limit_breached', limit, ...fields },
      reason === undefined ? message : `${message}: ${reason}`,
    );
  }

  get counts(): Readonly<Record<string, number>> {
    return this.#counts;
  }
}
