/** The doctor's checks in their order, and the lines that a person reads. */
import type { DeviceStatus } from '../../contract/device-status.ts';
import type { Config } from '../../service/config/config.ts';
import { messageOf } from '../../service/errors/errors.ts';
import { createLogger } from '../../service/log/log.ts';
import { clockLine, diskLine } from './box-lines.ts';
import { doctorInContainer, fail, type DoctorLine } from './check-line.ts';
import { powersWithAddresses } from '../../service/bluetooth/hci-socket.ts';
import { radioLines } from './radio-lines.ts';
import { missingKeyLine, readStatuses, serviceLines } from './service-lines.ts';
import { strapLines } from './strap-lines.ts';
import { streamLines } from './stream-lines.ts';
import { SYSTEM } from './system.ts';

const LABELS = { ok: ' ok ', warn: 'warn', fail: 'FAIL' } as const;

/** The lines as text, without a final line break. */
export function textOfLines(lines: readonly DoctorLine[]): string {
  const width = Math.max(...lines.map(({ name }) => name.length));
  return lines
    .map(({ name, status, found, advice }) => {
      const line = `${LABELS[status]}  ${name.padEnd(width)}  ${found}`;
      return advice === '' ? line : `${line}\n${' '.repeat(width + 8)}→ ${advice}`;
    })
    .join('\n');
}

/** A check that throws becomes a failing line, and the other checks still run. */
async function check(name: string, lines: () => DoctorLine[] | Promise<DoctorLine[]>): Promise<DoctorLine[]> {
  try {
    return await lines();
  } catch (error) {
    return [
      fail(
        name,
        messageOf(error),
        `Run the doctor as the user of the services (in containers: ${doctorInContainer('ble-bridge')}).`,
      ),
    ];
  }
}

/** What fails at the HCI socket is a finding of the line about the power. */
async function linesOfRadio(config: Config): Promise<DoctorLine[]> {
  try {
    const powers = await powersWithAddresses();
    return radioLines(config, SYSTEM, () => powers);
  } catch {
    return radioLines(config);
  }
}

/** Runs all checks, one after the other. Does not throw for what a check finds, and writes nothing. */
export async function examine(config: Config): Promise<DoctorLine[]> {
  const log = createLogger('doctor', { LOG_LEVEL: 'silent', LOG_PRETTY: 'false' });
  let shipsTo: Parameters<typeof streamLines>[1];
  return [
    ...(await check('radio', async () => await linesOfRadio(config))),
    ...(await check('clock', () => [clockLine()])),
    ...(await check('disk', () => [diskLine(config)])),
    ...(await check('broker', async () => {
      const missing = missingKeyLine(config);
      if (missing !== undefined) return [missing];
      const refused = new Map<string, string>();
      const straps = new Map<string, DeviceStatus>();
      const statuses = await readStatuses(config, log, refused, straps);
      shipsTo = statuses?.get('forwarder')?.forwarder;
      return [...serviceLines(config, statuses, refused), ...strapLines(straps.values())];
    })),
    ...(await check('AWS', async () => await streamLines(config, shipsTo))),
  ];
}
