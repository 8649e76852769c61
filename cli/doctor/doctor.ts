/** The doctor's checks in their order, and the lines that a person reads. */
import type { DeviceStatus } from '../../contract/device-status.ts';
import type { ForwarderStatus } from '../../contract/forwarder-status.ts';
import type { Config } from '../../service/config/config.ts';
import { messageOf } from '../../service/errors/errors.ts';
import { createLogger, type Logger } from '../../service/log/log.ts';
import type { Box } from '../box/box.ts';
import { clockLine, diskLine } from './box-lines.ts';
import { doctorInContainer, fail, ok, type DoctorLine } from './check-line.ts';
import { powersWithAddresses } from '../../service/bluetooth/hci-socket.ts';
import { radioLines } from './radio-lines.ts';
import { askStatuses } from './box-statuses.ts';
import { brokerLine, missingKeyLine, readStatuses, serviceLines } from './service-lines.ts';
import type { Trouble } from '../../service/mqtt/link-trouble.ts';
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

/** Where the box was found; nothing if it runs elsewhere, or not at all: the lines of broker and services tell then. */
function boxLines({ dataDir, running }: Box): DoctorLine[] {
  return running.size === 0 ? [] : [ok('box', `${[...running.keys()].join(', ')} in ${dataDir}`)];
}

/** The services of the box over their control sockets, which need no broker, and over the broker, which knows all of them. */
async function linesOfServices(
  box: Box,
  config: Config,
  log: Logger,
  ships: (to: ForwarderStatus | undefined) => void,
): Promise<DoctorLine[]> {
  const answered = await askStatuses(box);
  const missing = missingKeyLine(config);
  const refused = new Map<string, string>();
  const straps = new Map<string, DeviceStatus>();
  let trouble: Trouble | undefined;
  const read = missing === undefined ? await readStatuses(config, log, refused, straps, (why) => (trouble = why)) : undefined;
  const statuses = read === undefined && answered.size === 0 ? undefined : new Map([...(read ?? []), ...answered]);
  ships(statuses?.get('forwarder')?.forwarder);
  const broker = missing ?? brokerLine(config, read !== undefined, trouble);
  return [...serviceLines(config, statuses, refused, broker), ...strapLines(straps.values())];
}

/** Runs all checks, one after the other. Does not throw for what a check finds, and writes nothing. */
export async function examine(config: Config, box: Box): Promise<DoctorLine[]> {
  const log = createLogger('doctor', { LOG_LEVEL: 'silent', LOG_PRETTY: 'false' });
  let shipsTo: Parameters<typeof streamLines>[1];
  return [
    ...(await check('radio', async () => await linesOfRadio(config))),
    ...(await check('clock', () => [clockLine()])),
    ...(await check('disk', () => [diskLine(config)])),
    ...boxLines(box),
    ...(await check('broker', async () => await linesOfServices(box, config, log, (to) => (shipsTo = to)))),
    ...(await check('AWS', async () => await streamLines(config, shipsTo))),
  ];
}
