/** How a service lives: made, started, stopped on a signal within 10 s, ended with its own exit code. */
import type { ServiceName } from '../../contract/topics.ts';
import { processConfig, type Config } from '../config/config.ts';
import { HrError } from '../errors/errors.ts';
import { createLogger, type Logger } from '../log/log.ts';
import { trimMemoryAfterStart } from './memory-trim.ts';
import { VERSION } from './version.ts';
import { startHeartbeat, startWatchdog, type Watchdog } from './watchdog.ts';

export interface Service {
  readonly name: ServiceName;
  start(): Promise<void>;
  /** Ends everything that the service owns; safe to call at any time after the constructor, more than once. */
  stop(): Promise<void>;
}

export interface ServiceContext {
  config: Config;
  log: Logger;
  /** The service cannot go on and wants to be started anew by its supervisor; `exitCode` is the process's. */
  onFatal?: (error: unknown, exitCode?: number) => void;
}

/** A process that has not ended this long after it was asked to is ended by force. */
const STOP_LIMIT_MS = 9500;

export const EXIT_CODES = { ok: 0, failed: 1, config: 78 } as const;

/** Writes an error for a person on stderr, and returns the exit code that suits it. */
export function reportStartFailure(error: unknown): number {
  if (error instanceof HrError) {
    console.error(`${error.code}: ${error.operation}:\n  ${error.detail.split('; ').join('\n  ')}\n  ${error.hint}`);
    return error.code === 'config_invalid' ? EXIT_CODES.config : EXIT_CODES.failed;
  }
  console.error(error);
  return EXIT_CODES.failed;
}

export interface ProcessOptions {
  /** For the log: which service, or `hr-gateway` for all in one. */
  name: string;
  config: Config;
  log: Logger;
  stop: () => Promise<void>;
}

/**
 * Ends the process in order: on SIGTERM and SIGINT with exit code 0, on an uncaught error or `fail` with 1 (or the code given).
 * A second signal, or 9.5 s, end it by force.
 */
export class ProcessEnd {
  readonly #options: ProcessOptions;
  #ending = false;
  #watchdog: Watchdog | undefined;
  #heartbeat: Watchdog | undefined;
  #trim: { stop(): void } | undefined;

  constructor(options: ProcessOptions) {
    this.#options = options;
  }

  install(): void {
    // Readings of people lie in DATA_DIR: whatever this process makes is for its own user alone.
    process.umask(0o077);
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void this.#end(signal, EXIT_CODES.ok));
    for (const event of ['uncaughtException', 'unhandledRejection'] as const)
      process.on(event, (error: unknown) => {
        this.#options.log.fatal(
          { event: 'uncaught_error', code: 'uncaught_error', err: error },
          'a programming error: stopping in order',
        );
        void this.#end(event, EXIT_CODES.failed);
      });
    this.#watchdog = startWatchdog(this.#options.config, this.#options.log);
  }

  /** Everything runs: from now on the heartbeat says so. */
  started(): void {
    if (this.#ending) return;
    this.#heartbeat = startHeartbeat(this.#options.config, this.#options.log);
    this.#trim = trimMemoryAfterStart();
  }

  /** The service cannot go on. */
  fail(error: unknown, exitCode: number = EXIT_CODES.failed): void {
    this.#options.log.fatal({ event: 'service_failed', err: error }, 'the service cannot go on and ends, to be started anew');
    void this.#end('fatal', exitCode);
  }

  async #end(why: string, exitCode: number): Promise<void> {
    if (this.#ending) {
      if (why === 'SIGTERM' || why === 'SIGINT') process.exit(EXIT_CODES.failed);
      return;
    }
    this.#ending = true;
    this.#trim?.stop();
    const { log } = this.#options;
    log.info({ event: 'stopping', why }, 'stopping');
    const limit = setTimeout(() => {
      log.error({ event: 'stop_timeout' }, 'did not stop in time');
      process.exit(EXIT_CODES.failed);
    }, STOP_LIMIT_MS);
    try {
      await this.#options.stop();
    } catch (error) {
      log.error({ event: 'stop_failed', err: error }, 'stopping failed');
    }
    clearTimeout(limit);
    this.#watchdog?.stop();
    this.#heartbeat?.stop();
    log.info({ event: 'stopped' }, 'stopped');
    log.flush(() => process.exit(exitCode));
    setTimeout(() => process.exit(exitCode), 200);
  }
}

/** Runs one service as this process: the whole of a `main.ts`. */
export async function runService(name: ServiceName, make: (context: ServiceContext) => Service): Promise<void> {
  let config: Config;
  try {
    config = processConfig();
  } catch (error) {
    process.exit(reportStartFailure(error));
  }
  const log = createLogger(name, config);
  let service: Service | undefined;
  const end = new ProcessEnd({ name, config, log, stop: async () => service?.stop() });
  service = make({ config, log, onFatal: (error, exitCode) => end.fail(error, exitCode) });
  end.install();
  try {
    await service.start();
    end.started();
    log.info({ event: 'started', version: VERSION, node: process.version, pid: process.pid }, `${name} runs`);
  } catch (error) {
    const exitCode = reportStartFailure(error);
    log.fatal({ event: 'start_failed', err: error }, 'could not start');
    await service.stop().catch(() => {});
    log.flush(() => process.exit(exitCode));
    setTimeout(() => process.exit(exitCode), 200);
  }
}
