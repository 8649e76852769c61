/**
 * The first start on a full disk: nothing can run without a name, keys and a lock, so the process waits for space instead of failing
 * again and again.
 */
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ServiceName } from '../../contract/topics.ts';
import type { Config } from '../config/config.ts';
import { HrError } from '../errors/errors.ts';
import type { Logger } from '../log/log.ts';
import { dataFolder, gatewayName, unusable } from './data-dir.ts';
import { isDiskFull } from './disk-full.ts';

/** What a first start writes (name, keys, token, lock, headers of the databases), with room to spare. */
const FIRST_FILES_BYTES = 256 * 1024;
const RETRY_MS = 1000;
const REPEAT_LOG_MS = 60_000;

export interface FirstStartOptions {
  config: Pick<Config, 'DATA_DIR' | 'GATEWAY_NAME'>;
  service: ServiceName;
  log: Logger;
  /** True once the process is asked to stop: ends the wait. */
  isEnding: () => boolean;
}

/**
 * Resolves with true once DATA_DIR has space for what a first start stores there, with false if the process is asked to stop. Does not
 * wait if this service has started before: from then on a full disk is the business of queue and outbox. Throws what is not due to a
 * full disk (HrError `data_dir_unusable`).
 */
export async function awaitSpaceForFirstStart({ config, service, log, isEnding }: FirstStartOptions): Promise<boolean> {
  let loggedAtMs = Number.NEGATIVE_INFINITY;
  while (!isEnding()) {
    try {
      createFirstFiles(config, service, log);
      return true;
    } catch (error) {
      const cause = error instanceof HrError ? error.cause : error;
      if (!isDiskFull(cause, path.join(config.DATA_DIR, 'probe'))) throw error;
      if (performance.now() - loggedAtMs >= REPEAT_LOG_MS) {
        loggedAtMs = performance.now();
        log.error(
          {
            event: 'first_start_waits',
            code: 'disk_full',
            folder: path.resolve(config.DATA_DIR),
            needed_bytes: FIRST_FILES_BYTES,
          },
          'the disk of DATA_DIR is full: waiting for space to create the name and the keys of this box',
        );
      }
      await sleep(RETRY_MS);
    }
  }
  return false;
}

function createFirstFiles(config: FirstStartOptions['config'], service: ServiceName, log: Logger): void {
  const started = existsSync(path.join(dataFolder(config, 'locks'), `${service}.lock`));
  if (!started) {
    const probe = path.join(config.DATA_DIR, `space.${process.pid}.tmp`);
    try {
      writeFileSync(probe, Buffer.alloc(FIRST_FILES_BYTES), { mode: 0o600 });
    } catch (error) {
      throw unusable(`write ${probe}`, error);
    } finally {
      rmSync(probe, { force: true });
    }
  }
  gatewayName(config, log);
}
