/** Which clients of the local stream run into its limits: the forwarder, whose stream it is, names the worst one in its health. */
import type { LocalStreamStatus } from '../contract/local-stream-status.ts';

/** A client is named for so long after it was limited last, and if that happened so many times. */
const NAMED_MS = 60_000;
const NAMED_FROM = 10;
const CLIENTS_MAX = 1000;

type Limited = NonNullable<LocalStreamStatus['limited']>;

export class LimitedClients {
  readonly #now: () => number;
  readonly #clients = new Map<string, Limited & { atMs: number }>();

  /** `now`: milliseconds of a monotonic clock. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** A connection of this client was closed, or an unfinished body of it was dropped. */
  note(client: string, what: 'connections' | 'bodies'): void {
    const atMs = this.#now();
    const known = this.#clients.get(client);
    const isRecent = known !== undefined && atMs - known.atMs <= NAMED_MS;
    const limited = isRecent ? known : { client, connections: 0, bodies: 0, atMs };
    limited.atMs = atMs;
    limited[what] += 1;
    this.#clients.delete(client);
    this.#clients.set(client, limited);
    const oldest = this.#clients.keys().next().value;
    if (this.#clients.size > CLIENTS_MAX && oldest !== undefined) this.#clients.delete(oldest);
  }

  /** The client that was limited most within the last minute; undefined if none was, or hardly. */
  worst(): Limited | undefined {
    const sinceMs = this.#now() - NAMED_MS;
    let worst: Limited | undefined;
    let most = NAMED_FROM - 1;
    for (const { client, connections, bodies, atMs } of this.#clients.values())
      if (atMs >= sinceMs && connections + bodies > most) {
        worst = { client, connections, bodies };
        most = connections + bodies;
      }
    return worst;
  }
}
