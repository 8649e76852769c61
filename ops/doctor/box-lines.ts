/** Looks at the box itself: clock and disk. */
import { accessSync, constants, existsSync, statfsSync } from 'node:fs';
import path from 'node:path';
import type { Config } from '../../service/config.ts';
import { BUILD_YEAR } from '../../service/version.ts';
import { fail, ok, warn, type DoctorLine } from './check-line.ts';

const MiB = 1024 * 1024;

export function clockLine(now = new Date()): DoctorLine {
  if (now.getUTCFullYear() < BUILD_YEAR) return fail('clock', `the clock says ${now.toISOString()}`, 'Set the time (timedatectl set-ntp true): readings are marked unsynced until then.');
  return ok('clock', now.toISOString());
}

export function diskLine(config: Config): DoctorLine {
  let folder = path.resolve(config.DATA_DIR);
  while (!existsSync(folder)) folder = path.dirname(folder);
  try {
    accessSync(folder, constants.W_OK);
  } catch {
    return fail('disk', `${folder} cannot be written by this user`, 'Give DATA_DIR to the user of the services (in containers: uid 1000).');
  }
  const { bavail, bsize } = statfsSync(folder);
  const freeMiB = Math.floor((bavail * bsize) / MiB);
  const wantMiB = Math.ceil((config.QUEUE_MAX_BYTES + config.OUTBOX_MAX_BYTES) / MiB);
  if (freeMiB < 64) return fail('disk', `${freeMiB} MiB free in ${folder}`, 'Free some space: with a full disk nothing more is accepted.');
  if (freeMiB < wantMiB) return warn('disk', `${freeMiB} MiB free in ${folder}; queue and outbox may grow to ${wantMiB} MiB`, 'Free space, or lower QUEUE_MAX_BYTES and OUTBOX_MAX_BYTES.');
  return ok('disk', `${freeMiB} MiB free in ${folder}`);
}
