/** The lifecycle of a service: constructed, started, stopped within 10 s of a signal, ended with its exit code. */
import type { ServiceName } from '../../contract/topics.ts';
import { brokerOf } from '../network/broker.ts';
import { processConfig, type Config } from '../config/config.ts';
import { SETTINGS } from '../config/settings.ts';
import { warnOfAssumedBroker, warnOfRemovedSettings } from './startup-warnings.ts';
import { HrError } from '../errors/errors.ts';
import { createLogger, type Logger } from '../log/log.ts';
import { trimMemoryAfterStart } from './memory-trim.ts';
import { VERSION } from './version.ts';
import { startHeartbeat, startWatchdog, type Watchdog } from './watchdog.ts';

export interface Service {
  readonly name: ServiceName;
  start(): Promise<void>;
  /** Ends everything that the service owns. May be called at any time after construction, and more than once. */
  stop(): Promise<void>;
}

export interface ServiceContext {
  config: Config;
  log: Logger;
  /** The service cannot continue and must be restarted by its supervisor; `exitCode` is the exit code of the process. */
  onFatal?: (error: unknown, exitCode?: number) => void;
}

/** A process that has not ended this long after it was asked to stop exits by force. */
const STOP_LIMIT_MS = 9500;

export const EXIT_CODES = { ok: 0, failed: 1, config: 78 } as const;

/** Prints an error to stderr in readable form, and returns the matching exit code. */
export function reportStartFailure(error: unknown): number {
  if (error instanceof HrError) {
    console.error(`${error.code}: ${error.operation}:\n  ${error.detail.split('; ').join('\n  ')}\n  ${error.hint}`);
    return error.code === 'config_invalid' ? EXIT_CODES.config : EXIT_CODES.failed;
  }
  console.error(error);
  return EXIT_CODES.failed;
}

export interface ProcessOptions {
  /** Name in the log: the service, or `hr-gateway` for all services in one process. */
  name: string;
  config: Config;
  log: Logger;
  stop: () => Promise<void>;
}

/**
 * Shuts the process down in order: on SIGTERM and SIGINT with exit code 0, on an uncaught error or `fail` with exit code 1 (or the one
 * given). A second signal, or a shutdown that takes longer than 9.5 s, ends it by force.
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
    // DATA_DIR holds people's readings: only this user may read what this process creates.
    process.umask(0o077);
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void this.#end(signal, EXIT_CODES.ok));
    for (const event of ['uncaughtException', 'unhandledRejection'] as const)
      process.on(event, (error: unknown) => {
        this.#options.log.fatal(
          { event: 'uncaught_error', code: 'uncaught_error', err: error },
          'programming error: shutting down',
        );
        void this.#end(event, EXIT_CODES.failed);
      });
    this.#watchdog = startWatchdog(this.#options.config, this.#options.log);
  }

  /** Everything is running: starts the heartbeat. */
  started(): void {
    if (this.#ending) return;
    this.#heartbeat = startHeartbeat(this.#options.config, this.#options.log);
    this.#trim = trimMemoryAfterStart();
  }

  /** The service cannot continue: shuts the process down. */
  fail(error: unknown, exitCode: number = EXIT_CODES.failed): void {
    this.#options.log.fatal({ event: 'service_failed', err: error }, 'the service cannot continue: shutting down for a restart');
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
      log.error({ event: 'stop_timeout' }, 'shutdown took too long: exiting by force');
      process.exit(EXIT_CODES.failed);
    }, STOP_LIMIT_MS);
    try {
      await this.#options.stop();
    } catch (error) {
      log.error({ event: 'stop_failed', err: error }, 'shutdown failed');
    }
    clearTimeout(limit);
    this.#watchdog?.stop();
    this.#heartbeat?.stop();
    log.info({ event: 'stopped' }, 'stopped');
    log.flush(() => process.exit(exitCode));
    setTimeout(() => process.exit(exitCode), 200);
  }
}

/** Runs one service as this process: all that a `main.ts` does. */
export async function runService(name: ServiceName, make: (context: ServiceContext) => Service): Promise<void> {
  let config: Config;
  try {
    config = processConfig();
  } catch (error) {
    process.exit(reportStartFailure(error));
  }
  const log = createLogger(name, config);
  warnOfRemovedSettings(log);
  if (SETTINGS.MQTT_URL.usedBy.some((user) => user === name)) warnOfAssumedBroker(log, brokerOf(config), config);
  let service: Service | undefined;
  const end = new ProcessEnd({ name, config, log, stop: async () => service?.stop() });
  service = make({ config, log, onFatal: (error, exitCode) => end.fail(error, exitCode) });
  end.install();
  try {
    await service.start();
    end.started();
    log.info({ event: 'started', version: VERSION, node: process.version, pid: process.pid }, `${name} started`);
  } catch (error) {
    const exitCode = reportStartFailure(error);
    log.fatal({ event: 'start_failed', err: error }, 'start failed');
    await service.stop().catch(() => {});
    log.flush(() => process.exit(exitCode));
    setTimeout(() => process.exit(exitCode), 200);
  }
}
