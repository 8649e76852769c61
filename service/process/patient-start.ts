/**
 * A start needs small files of DATA_DIR: locks, keys, the token, users, certificates. A disk that does not return or take them now may do
 * so later, and nobody is there to start the process once more, so it waits and starts again.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { HrError } from '../errors/errors.ts';
import type { Logger } from '../log/log.ts';
import { isPassing } from '../storage/passing-errors.ts';

const RETRY_MIN_MS = 1000;
const RETRY_MAX_MS = 10_000;
const REPEAT_LOG_MS = 60_000;

export interface PatientStartOptions {
  /** Starts what was never started. */
  start: () => Promise<void>;
  /** Ends what a failed start has begun. */
  stop: () => Promise<void>;
  log: Logger;
  /** True once the process is asked to stop: ends the wait. */
  isEnding: () => boolean;
  /** For tests. */
  retryMs?: number;
}

/** A lock that another process holds is an operator's mistake, which waiting would hide. */
const isWaitedFor = ({ code, cause }: HrError): boolean => code !== 'data_dir_in_use' && isPassing(cause);

/** Resolves with true once started, with false if the process is asked to stop. Throws what the disk is not the cause of. */
export async function startPatiently({ start, stop, log, isEnding, retryMs }: PatientStartOptions): Promise<boolean> {
  let loggedAtMs = Number.NEGATIVE_INFINITY;
  for (let delayMs = retryMs ?? RETRY_MIN_MS; !isEnding(); delayMs = Math.min(2 * delayMs, RETRY_MAX_MS)) {
    try {
      await start();
      return true;
    } catch (error) {
      if (isEnding() || !(error instanceof HrError) || !isWaitedFor(error)) throw error;
      if (performance.now() - loggedAtMs >= REPEAT_LOG_MS) {
        loggedAtMs = performance.now();
        const { code, operation, detail, hint } = error;
        log.error(
          { event: 'start_waits', code, operation, reason: detail, hint },
          'the disk does not let the service start: waiting for it',
        );
      }
      await stop();
      await sleep(delayMs);
    }
  }
  return false;
}
