/** Counts the limits that clients ran into, names each in the log, rate-limited, and tells health who runs into them at the moment. */
import { RepeatLimiter, type Logger } from '../service/log/log.ts';
import { networkOf } from '../service/network/client-address.ts';
import { breachText, type Limit } from './breach-kinds.ts';
import { Offenders } from './budgets/offenders.ts';

/** Who broke a limit, and what else is worth a log field. */
export interface BreachFields {
  user?: string;
  address?: string;
  /** A service of this box: nobody is blamed. */
  service?: string;
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
  readonly #counts: Partial<Record<Limit, number>> = {};
  readonly #repeats: RepeatLimiter;

  constructor(log: Logger) {
    this.#repeats = new RepeatLimiter(log);
  }

  /** Counts a breach and logs it. */
  add(limit: Limit, fields: BreachFields = {}, { weight = 1, blame, reason }: BreachOptions = {}): void {
    this.#counts[limit] = (this.#counts[limit] ?? 0) + 1;
    const party = blame ?? (fields.user === undefined && fields.address === undefined ? undefined : partyName(fields));
    if (party !== undefined) this.offenders.note(party, limit, weight);
    // Each user that has logged in is named; what strangers do is one line a minute, however many there are.
    const named = party === undefined || party.startsWith('address ') ? limit : `${limit} ${party}`;
    this.#repeats.warn(
      reason === undefined ? named : `${named} ${reason}`,
      { event: 'limit_breached', limit, ...fields },
      `${party ?? (fields.service === undefined ? 'a client' : `service ${fields.service}`)} ${breachText(limit, reason)}`,
    );
  }

  get counts(): Readonly<Record<string, number>> {
    return this.#counts;
  }
}
