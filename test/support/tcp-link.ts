/** A TCP connection between two processes that a test can disturb. */
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import type { TestContext } from 'node:test';

/**
 * `cut`: connections are destroyed, new ones refused. `stalled`: nothing arrives until it ends. `delayed`: everything arrives later, in
 * order.
 */
export type LinkState = 'open' | 'cut' | 'stalled' | 'delayed';
export type Side = 'client' | 'server';

const DELAY_MS = 400;

interface Pair {
  client: Socket;
  server: Socket;
}

export class TcpLink {
  readonly port: number;
  readonly #pairs: Set<Pair>;
  #state: LinkState = 'open';

  private constructor(port: number, pairs: Set<Pair>) {
    this.port = port;
    this.#pairs = pairs;
  }

  /** Listens on a free port of 127.0.0.1 and connects to `target`. */
  static async start(t: Pick<TestContext, 'after'>, target: number): Promise<TcpLink> {
    const pairs = new Set<Pair>();
    const listener = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
      if (link.#state === 'cut') return void client.destroy();
      link.#join(client, connect({ port: target, host: '127.0.0.1', allowHalfOpen: true, noDelay: true }));
    });
    await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
    const link = new TcpLink((listener.address() as AddressInfo).port, pairs);
    t.after(async () => {
      for (const { client, server } of pairs) for (const socket of [client, server]) socket.destroy();
      await new Promise<void>((resolve) => listener.close(() => resolve()));
    });
    return link;
  }

  #join(client: Socket, server: Socket): void {
    const pair = { client, server };
    this.#pairs.add(pair);
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      from.on('error', () => {});
      from.on('data', (chunk: Buffer) => this.#later(() => to.writable && to.write(chunk)));
      from.on('end', () => this.#later(() => to.end()));
      from.on('close', () => {
        this.#pairs.delete(pair);
        this.#later(() => to.destroy());
      });
      if (this.#state === 'stalled') from.pause();
    }
  }

  /** Timers of one length fire in order. */
  #later(work: () => void): void {
    if (this.#state === 'delayed') setTimeout(work, DELAY_MS);
    else work();
  }

  /** What was delayed arrives before anything else: the end of a delay breaks the connections, which bytes must not overtake. */
  set(state: LinkState): void {
    const before = this.#state;
    this.#state = state;
    for (const { client, server } of this.#pairs)
      for (const socket of [client, server])
        if (state === 'cut' || before === 'delayed') socket.destroy();
        else if (state === 'stalled') socket.pause();
        else socket.resume();
  }

  /** Ends one direction of every connection: that side reads its end, and can still write. */
  halfClose(side: Side): void {
    for (const pair of this.#pairs) pair[side].end();
  }
}
