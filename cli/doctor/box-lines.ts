/** Checks of the box itself: clock and disk. */
import { accessSync, constants, existsSync, statfsSync } from 'node:fs';
import path from 'node:path';
import type { Config } from '../../service/config/config.ts';
import { isBeforeBuild } from '../../service/process/clock-state.ts';
import { fail, ok, warn, type DoctorLine } from './check-line.ts';
import { SYSTEM, type System } from './system.ts';

const MiB = 1024 * 1024;

/** The year, and whether systemd's time service has synchronized. The forwarder reports how far the clock is off the stream's. */
export function clockLine(now = new Date(), { root }: System = SYSTEM): DoctorLine {
  if (isBeforeBuild(now))
    return fail(
      'clock',
      `the clock shows ${now.toISOString()}`,
      'Set the time (timedatectl set-ntp true); until then readings are marked as unsynced.',
    );
  const timesync = path.join(root, 'run/systemd/timesync');
  if (existsSync(timesync) && !existsSync(path.join(timesync, 'synchronized')))
    return warn(
      'clock',
      `${now.toISOString()}, not yet synchronized by systemd-timesyncd`,
      'Run: timedatectl timesync-status. A box without a network may need a clock module.',
    );
  return ok('clock', now.toISOString());
}

const freeIn = (folder: string): number => {
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize;
};

/** Whether DATA_DIR is writable and has room for the limits of queue and outbox. `freeBytesIn` is replaced in tests. */
export function diskLine(config: Config, freeBytesIn: (folder: string) => number = freeIn): DoctorLine {
  let folder = path.resolve(config.DATA_DIR);
  while (!existsSync(folder)) folder = path.dirname(folder);
  try {
    accessSync(folder, constants.W_OK);
  } catch {
    return fail(
      'disk',
      `${folder} is not writable for this user`,
      'Make the user of the services the owner of DATA_DIR (in containers: uid 1000).',
    );
  }
  const freeMiB = Math.floor(freeBytesIn(folder) / MiB);
  const wantMiB = Math.ceil((config.QUEUE_MAX_BYTES + config.OUTBOX_MAX_BYTES) / MiB);
  if (freeMiB < 64)
    return fail('disk', `${freeMiB} MiB free in ${folder}`, 'Free some space: with a full disk the queue rejects new readings.');
  if (freeMiB < wantMiB)
    return warn(
      'disk',
      `${freeMiB} MiB free in ${folder}; queue and outbox may grow to ${wantMiB} MiB`,
      'Free some space, or lower QUEUE_MAX_BYTES and OUTBOX_MAX_BYTES.',
    );
  return ok('disk', `${freeMiB} MiB free in ${folder}`);
}
