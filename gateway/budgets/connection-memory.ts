/**
 * What waits for and from clients that are no services, in bytes over all connections. Over the budget, the connection with the most is
 * closed: one client that does not read, or sends packets that it never completes, costs itself its connection, not others theirs.
 */
import type { MemoryBudget } from './memory-budget.ts';

/** The connection as it is counted. */
export interface CountedConnection {
  /** What the client has not read, the system's buffers included. */
  readonly unreadBytes: number;
  readonly incomingBytes: number;
  readonly destroyed: boolean;
}

interface Counted {
  backlogs: number;
  incoming: number;
}

/** Connections with less cannot be the largest one that matters. */
const LARGE_BYTES = 16 * 1024;

export class ConnectionMemory<C extends CountedConnection> {
  readonly #memory: MemoryBudget;
  readonly #evict: (connection: C, bytes: number) => void;
  readonly #counted = new Map<C, Counted>();

  /** `evict` closes a connection. */
  constructor(memory: MemoryBudget, evict: (connection: C, bytes: number) => void) {
    this.#memory = memory;
    this.#evict = evict;
  }

  /** Something waits for or from a client, more than a little. */
  get hasLarge(): boolean {
    return this.#counted.size > 0;
  }

  /** What waits of a connection may have changed. */
  update(connection: C): void {
    const { unreadBytes, incomingBytes } = connection;
    const isLarge = !connection.destroyed && unreadBytes + incomingBytes >= LARGE_BYTES;
    const before = this.#counted.get(connection);
    if (!isLarge) {
      if (before !== undefined) this.forget(connection);
      return;
    }
    this.#memory.add('backlogs', unreadBytes - (before?.backlogs ?? 0));
    this.#memory.add('incoming', incomingBytes - (before?.incoming ?? 0));
    if (before === undefined) this.#counted.set(connection, { backlogs: unreadBytes, incoming: incomingBytes });
    else {
      before.backlogs = unreadBytes;
      before.incoming = incomingBytes;
    }
    this.#makeRoom();
  }

  #makeRoom(): void {
    for (const use of ['backlogs', 'incoming'] as const) {
      if (this.#memory.hasRoom(use)) continue;
      // Some may have been read meanwhile.
      this.refresh();
      while (!this.#memory.hasRoom(use)) {
        const largest = this.#largest();
        if (largest === undefined) return;
        const [connection, { backlogs, incoming }] = largest;
        this.forget(connection);
        this.#evict(connection, backlogs + incoming);
      }
    }
  }

  #largest(): [C, Counted] | undefined {
    let largest: [C, Counted] | undefined;
    for (const entry of this.#counted)
      if (largest === undefined || entry[1].backlogs + entry[1].incoming > largest[1].backlogs + largest[1].incoming)
        largest = entry;
    return largest;
  }

  /** Counts all large connections again. Call it every second: a connection that is read does not report it. */
  refresh(): void {
    for (const [connection, counted] of this.#counted) {
      const { unreadBytes, incomingBytes } = connection;
      if (connection.destroyed || unreadBytes + incomingBytes < LARGE_BYTES) {
        this.forget(connection);
        continue;
      }
      this.#memory.add('backlogs', unreadBytes - counted.backlogs);
      this.#memory.add('incoming', incomingBytes - counted.incoming);
      counted.backlogs = unreadBytes;
      counted.incoming = incomingBytes;
    }
  }

  /** A connection is closed. */
  forget(connection: C): void {
    const counted = this.#counted.get(connection);
    if (counted === undefined) return;
    this.#counted.delete(connection);
    this.#memory.add('backlogs', -counted.backlogs);
    this.#memory.add('incoming', -counted.incoming);
  }
}
