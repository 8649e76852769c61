/** The bridge's commands: scan-now, forget-device, rename-device and reset-energy. */
import type { CommandArgs, CommandResult } from '../contract/commands.ts';
import { HrError } from '../service/errors/errors.ts';
import type { Logger } from '../service/log/log.ts';
import type { People } from './publishing/people.ts';
import type { StrapPublisher } from './publishing/strap-publisher.ts';
import type { DeviceNames } from './straps/device-names.ts';
import type { SessionSwitch } from './straps/session-switch.ts';

/** The only command of the heart rate control point (HRS 3.3). */
const RESET_ENERGY = Buffer.from([0x01]);

export interface BridgeCommandsOptions {
  log: Logger;
  sessions: SessionSwitch;
  names: DeviceNames;
  people: People;
  publisher: StrapPublisher;
}

export class BridgeCommands {
  readonly #o: BridgeCommandsOptions;

  constructor(options: BridgeCommandsOptions) {
    this.#o = options;
  }

  async scanNow(): Promise<{ scanning: boolean }> {
    return { scanning: await this.#o.sessions.scanNow() };
  }

  /** Disconnects a strap and removes its kept name, who wears it, and its retained topics. Throws HrError `strap_unknown`. */
  async forget({ device }: CommandArgs<'forget-device'>): Promise<{ forgotten: string }> {
    const { sessions, names, people, publisher, log } = this.#o;
    const wasNamed = names.forget(device) !== undefined;
    const wasWorn = people.forget(device);
    const wasKnown = await sessions.forget(device);
    if (!wasNamed && !wasWorn && !wasKnown)
      throw new HrError('strap_unknown', { operation: 'forget a device', detail: `unknown device ${device}` });
    publisher.forget(device);
    log.info({ event: 'device_forgotten', device }, 'device forgotten by request');
    return { forgotten: device };
  }

  /** Enters who wears a strap: the device keeps its name. Throws HrError `strap_unknown`, `command_failed`. */
  async rename({ device, ...change }: CommandArgs<'rename-device'>): Promise<CommandResult<'rename-device'>> {
    const { sessions, names, people, log } = this.#o;
    if (sessions.find(device) === undefined && !names.all.some((known) => known.device === device))
      throw new HrError('strap_unknown', { operation: 'rename a device', detail: `unknown device ${device}` });
    const person = await people.set(device, change);
    log.info({ event: 'device_renamed', device }, 'an operator entered who wears a strap');
    return { device, ...person };
  }

  /** Throws HrError `strap_unknown`, `strap_not_connected`, `strap_has_no_energy_count`. */
  async resetEnergy({ device }: CommandArgs<'reset-energy'>): Promise<{ reset: string }> {
    const operation = 'reset the energy count';
    const strap = this.#o.sessions.find(device);
    if (strap === undefined) throw new HrError('strap_unknown', { operation, detail: `unknown device ${device}` });
    const outcome = await strap.link.writeControlPoint(RESET_ENERGY);
    if (outcome === 'not_connected')
      throw new HrError('strap_not_connected', { operation, detail: `${device} is not connected` });
    if (outcome === 'not_supported')
      throw new HrError('strap_has_no_energy_count', { operation, detail: `${device} has no heart rate control point` });
    return { reset: device };
  }
}
