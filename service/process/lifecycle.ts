/** The lifecycle of a service: constructed, started, stopped within 10 s of a signal, ended with its exit code. */
import { inspect } from 'node:util';
import type { ServiceName } from '../../contract/topics.ts';
import { brokerOf } from '../network/broker.ts';
import { processConfig, type Config } from '../config/config.ts';
import { SETTINGS } from '../config/settings.ts';
import { warnOfAssumedBroker, warnOfRemovedSettings } from './startup-warnings.ts';
import { HrError } from '../errors/errors.ts';
import { createLogger, type Logger } from '../log/log.ts';
import { standardOutput } from '../log/log-output.ts';
import { awaitSpaceForFirstStart } from '../storage/first-start.ts';
import { maskSecrets } from '../secrets/mask.ts';
import { trimMemoryAfterStart } from './memory-trim.ts';
import { startPatiently } from './patient-start.ts';
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

/** A process that has not ended this long after it was asked to stop ends by force. */
const STOP_LIMIT_MS = 9500;
/** The same after a later signal, which asks it to hurry. */
const HURRY_LIMIT_MS = 5000;
/**
 * Further signals within this time of the first are the same request: a terminal and systemd signal a whole group, and `npm start` signals
 * its children once more.
 */
const SAME_REQUEST_MS = 2000;

export const EXIT_CODES = { ok: 0, failed: 1, config: 78 } as const;

/** Prints an error to stderr in readable form, and returns the matching exit code. */
export function reportStartFailure(error: unknown): number {
  if (error instanceof HrError) {
    console.error(`${error.code}: ${error.operation}:\n  ${error.detail.split('; ').join('\n  ')}\n  ${error.hint}`);
    return error.code === 'config_invalid' ? EXIT_CODES.config : EXIT_CODES.failed;
  }
  console.error(maskSecrets(inspect(error)));
  return EXIT_CODES.failed;
}

export interface ProcessOptions {
  /** Name in the log: the service, or `hr-gateway` for all services in one process. */
  name: string;
  config: Config;
  log: Logger;
  stop: () => Promise<void>;
  /** Speeds up a stop that is under way, without leaving anything out that would lose data. */
  hurry?: () => void;
}

/**
 * Ends the process at once, as a kill from outside would. Not `process.exit`: its cleanup closes open databases without the last steps of
 * an orderly close, and a queue whose log was removed like that counts as damaged at the next start. After a kill it is whole.
 */
function endByForce(): never {
  process.kill(process.pid, 'SIGKILL');
  // Still running: the first process of a container cannot kill itself by a signal.
  process.abort();
}

/** Ends the process once the log has been written, or cannot be written within 200 ms. Call it with everything closed. */
export function endAfterLog(log: Logger, exitCode: number): void {
  const end = (): void => {
    // `process.exit` waits for a write in flight, which may never end.
    if (standardOutput.isWriting) endByForce();
    process.exit(exitCode);
  };
  setTimeout(end, 200);
  log.flush(end);
}

/**
 * Shuts the process down in order: on SIGTERM, SIGINT and SIGHUP with exit code 0; on an uncaught error, `fail`, or the end of the parent
 * process with exit code 1 (or the one given). A signal within 2 s of the first changes nothing, a later one speeds up the shutdown. One
 * that takes longer than 9.5 s (5 s after it was sped up) ends by force.
 */
export class ProcessEnd {
  readonly #options: ProcessOptions;
  #endingSinceMs: number | undefined;
  #limit: NodeJS.Timeout | undefined;
  #watchdog: Watchdog | undefined;
  #heartbeat: Watchdog | undefined;
  #trim: { stop(): void } | undefined;

  constructor(options: ProcessOptions) {
    this.#options = options;
  }

  install(): void {
    // DATA_DIR holds people's readings: only this user may read what this process creates.
    process.umask(0o077);
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => this.#signalled(signal));
    // A child process of a supervisor (SupervisedProcess): without it, two of them would use the same adapter.
    if (process.channel !== undefined)
      process.on('disconnect', () => {
        if (this.#endingSinceMs === undefined) void this.#end('parent_ended', EXIT_CODES.failed);
      });
    for (const event of ['uncaughtException', 'unhandledRejection'] as const)
      process.on(event, (error: unknown) => {
        this.#options.log.fatal(
          { event: 'uncaught_error', code: 'uncaught_error', err: error },
          'programming error: shutting down',
        );
        void this.#end(event, EXIT_CODES.failed);
      });
    // Node prints warnings synchronously, which blocks if nobody reads the output.
    process.removeAllListeners('warning');
    process.on('warning', ({ name, message }) =>
      this.#options.log.info({ event: 'node_warning', name, reason: message }, 'Node warns'),
    );
    this.#watchdog = startWatchdog(this.#options.config, this.#options.log);
  }

  /** Everything is running: starts the heartbeat. */
  started(): void {
    if (this.ending) return;
    this.#heartbeat = startHeartbeat(this.#options.config, this.#options.log);
    this.#trim = trimMemoryAfterStart();
  }

  /** The work is done: shuts the process down with exit code 0. */
  finish(): void {
    void this.#end('done', EXIT_CODES.ok);
  }

  /** The service cannot continue: shuts the process down. */
  fail(error: unknown, exitCode: number = EXIT_CODES.failed): void {
    this.#options.log.fatal({ event: 'service_failed', err: error }, 'the service cannot continue: shutting down for a restart');
    void this.#end('fatal', exitCode);
  }

  /** True once the shutdown has begun. */
  get ending(): boolean {
    return this.#endingSinceMs !== undefined;
  }

  #signalled(signal: NodeJS.Signals): void {
    if (this.#endingSinceMs === undefined) return void this.#end(signal, EXIT_CODES.ok);
    if (performance.now() - this.#endingSinceMs < SAME_REQUEST_MS) return;
    this.#options.log.warn({ event: 'stop_hurried', why: signal }, 'signalled again: stopping without waiting');
    this.#limitStop(HURRY_LIMIT_MS);
    this.#options.hurry?.();
  }

  #limitStop(ms: number): void {
    clearTimeout(this.#limit);
    this.#limit = setTimeout(() => {
      const { log } = this.#options;
      log.error({ event: 'stop_timeout' }, 'shutdown took too long: ending by force');
      this.#forced();
    }, ms);
  }

  /** Ends by force, once the log has been written or 200 ms have passed. */
  #forced(): void {
    setTimeout(endByForce, 200);
    this.#options.log.flush(() => endByForce());
  }

  async #end(why: string, exitCode: number): Promise<void> {
    if (this.ending) return;
    this.#endingSinceMs = performance.now();
    this.#trim?.stop();
    const { log } = this.#options;
    log.info({ event: 'stopping', why }, 'stopping');
    this.#limitStop(STOP_LIMIT_MS);
    try {
      await this.#options.stop();
    } catch (error) {
      // Something may still be open.
      log.error({ event: 'stop_failed', err: error }, 'shutdown failed: ending by force');
      return this.#forced();
    }
    clearTimeout(this.#limit);
    this.#watchdog?.stop();
    this.#heartbeat?.stop();
    log.info({ event: 'stopped' }, 'stopped');
    endAfterLog(log, exitCode);
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
  const stop = async (): Promise<void> => await service?.stop();
  const end = new ProcessEnd({ name, config, log, stop });
  const isEnding = (): boolean => end.ending;
  end.install();
  try {
    const start = async (): Promise<void> => {
      if (!(await awaitSpaceForFirstStart({ config, service: name, log, isEnding }))) return;
      service = make({ config, log, onFatal: (error, exitCode) => end.fail(error, exitCode) });
      await service.start();
    };
    if (!(await startPatiently({ start, stop, log, isEnding }))) return;
    // Signalled meanwhile: the shutdown ends the process.
    if (end.ending) return;
    end.started();
    log.info({ event: 'started', version: VERSION, node: process.version, pid: process.pid }, `${name} started`);
  } catch (error) {
    if (end.ending) return;
    const exitCode = reportStartFailure(error);
    log.fatal({ event: 'start_failed', err: error }, 'start failed');
    await stop().catch(() => {});
    endAfterLog(log, exitCode);
  }
}
