/** A service as a child process that is restarted, with backoff, whenever it ends: the bridge exits if noble is stuck. */
import { spawn, type ChildProcess } from 'node:child_process';
import { Backoff } from '../pacing/backoff.ts';
import type { Logger } from '../log/log.ts';
import { nodeArgsFor } from './worker-thread.ts';

export interface SupervisedProcessOptions {
  name: string;
  module: URL;
  environment: Record<string, string | undefined>;
  log: Logger;
}

/** A child that ran this long was healthy: it is restarted with the shortest delay. */
const WELL_AFTER_MS = 60_000;
const STOP_LIMIT_MS = 8000;

export class SupervisedProcess {
  readonly #options: SupervisedProcessOptions;
  readonly #backoff = new Backoff({ minMs: 1000, maxMs: 30_000 });
  #child: ChildProcess | undefined;
  #again: NodeJS.Timeout | undefined;
  #stopped = true;

  constructor(options: SupervisedProcessOptions) {
    this.#options = options;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  start(): void {
    this.#stopped = false;
    this.#run();
  }

  #run(): void {
    const { name, module, environment, log } = this.#options;
    const startedAt = performance.now();
    const child = spawn(process.execPath, nodeArgsFor(module), {
      env: environment,
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.#child = child;
    let over = false;
    const ended = (reason: string): void => {
      if (over) return;
      over = true;
      this.#child = undefined;
      if (this.#stopped) return;
      if (performance.now() - startedAt > WELL_AFTER_MS) this.#backoff.reset();
      const delayMs = Math.round(this.#backoff.nextDelayMs());
      log.warn({ event: 'child_ended', child: name, reason, again_in_ms: delayMs }, `${name} ended: restarting it`);
      this.#again = setTimeout(() => this.#run(), delayMs);
    };
    child.once('error', (error) => ended(error.message));
    child.once('exit', (code, signal) => ended(signal ?? `exit code ${code}`));
  }

  /** Stops the child with SIGTERM, after 8 s with SIGKILL. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#again);
    const child = this.#child;
    if (child === undefined) return;
    await new Promise<void>((resolve) => {
      const limit = setTimeout(() => child.kill('SIGKILL'), STOP_LIMIT_MS);
      child.once('exit', () => {
        clearTimeout(limit);
        resolve();
      });
      child.kill('SIGTERM');
    });
  }
}
