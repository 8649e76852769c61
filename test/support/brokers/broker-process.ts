/** A broker that is not ours, as a process on a free port of this machine. It is killed after the test. */
import { spawn, type ChildProcess } from 'node:child_process';
import { connect } from 'node:net';
import type { TestContext } from 'node:test';
import { eventually } from '../eventually.ts';

const START_LIMIT_MS = 20_000;

async function accepts(port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

export class BrokerProcess {
  readonly port: number;
  readonly #command: string;
  readonly #args: readonly string[];
  #child: ChildProcess | undefined;
  #output = '';

  constructor(
    t: Pick<TestContext, 'after'>,
    { command, args, port }: { command: string; args: readonly string[]; port: number },
  ) {
    this.#command = command;
    this.#args = args;
    this.port = port;
    t.after(async () => await this.stop('SIGKILL'));
  }

  /** What it printed so far. */
  get output(): string {
    return this.#output;
  }

  /** `mqtt://user:password@…`, encoded as URLs are. */
  url(user?: string, password = ''): string {
    const credentials = user === undefined ? '' : `${encodeURIComponent(user)}:${encodeURIComponent(password)}@`;
    return `mqtt://${credentials}127.0.0.1:${this.port}`;
  }

  /** Resolves once it accepts connections. */
  async start(): Promise<void> {
    const child = spawn(this.#command, this.#args, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => void (this.#output = (this.#output + chunk.toString()).slice(-100_000)));
    child.on('error', (error) => void (this.#output += String(error)));
    await eventually(
      async () => {
        if (child.exitCode !== null) throw new Error(`the broker ended:\n${this.#output}`);
        return await accepts(this.port);
      },
      { withinMs: START_LIMIT_MS, what: `${this.#command} accepts connections: ${this.#output}` },
    );
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill(signal);
    await ended;
  }

  /** Sends a signal that does not end it: Mosquitto reads its files again at SIGHUP. */
  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  async restart(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    await this.stop(signal);
    await this.start();
  }
}
