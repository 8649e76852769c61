/**
 * The box that a command is about: found by its DATA_DIR, asked through the control sockets of its running services. Without DATA_DIR in
 * the environment that is ./data or, if no box runs there, the folder of an installed box.
 */
import { existsSync, statSync } from 'node:fs';
import path from 'node:path';
import type { ControlArgs, ControlResult, ControlVerb, SettingsInEffect } from '../../contract/control.ts';
import { SERVICE_NAMES, type ServiceName } from '../../contract/topics.ts';
import { configBeside, isSet, processConfig, type Config } from '../../service/config/config.ts';
import { askService } from '../../service/control/control-client.ts';
import { HrError, systemCodeOf } from '../../service/errors/errors.ts';
import { requireVolumeOf } from '../../service/storage/data-volumes.ts';

/** Where packaging/ installs a box. */
const INSTALLED = '/var/lib/hr-gateway';
const SETTINGS_LIMIT_MS = 3000;

export interface Box {
  /** Absolute. */
  dataDir: string;
  /** A service has run on this folder at some time: its lock is there. */
  wasUsed: boolean;
  /** The settings of the services that run now, by service. */
  running: ReadonlyMap<ServiceName, SettingsInEffect>;
  /** What else is to be said if nothing answers: another folder whose box this user may not ask. */
  note: string;
}

/** True, false, or undefined if this user may not look. */
function isUsed(dataDir: string): boolean | undefined {
  try {
    return statSync(path.join(dataDir, 'locks')).isDirectory();
  } catch (error) {
    return ['EACCES', 'EPERM'].includes(systemCodeOf(error) ?? '') ? undefined : false;
  }
}

async function runningIn(dataDir: string): Promise<Map<ServiceName, SettingsInEffect>> {
  const running = new Map<ServiceName, SettingsInEffect>();
  const asked = SERVICE_NAMES.map(async (service) => {
    const settings = await askService(dataDir, service, 'show-settings', {}, { timeoutMs: SETTINGS_LIMIT_MS });
    if (settings !== undefined) running.set(service, settings);
  });
  // One that hangs, or is of another version, does not answer; its own command tells why.
  await Promise.allSettled(asked);
  return running;
}

/**
 * Finds the box; writes nothing. `installed`: for tests. Throws HrError `data_dir_unusable` if this user may not look into a DATA_DIR that
 * the environment names.
 */
export async function findBox(config: Config, installed = INSTALLED): Promise<Box> {
  const named = path.resolve(config.DATA_DIR);
  const folders = isSet('DATA_DIR') || named === installed ? [named] : [named, installed];
  let note = '';
  const boxes: Box[] = [];
  for (const dataDir of folders) {
    const wasUsed = isUsed(dataDir);
    if (wasUsed === undefined) {
      if (folders.length === 1)
        throw new HrError('data_dir_unusable', {
          operation: 'find the box',
          detail: `this user may not read ${dataDir}`,
          hint: 'Run the command as the user of the services, or as root: sudo hr-gateway …',
        });
      note = `; a box is installed in ${dataDir}, which this user may not read: sudo hr-gateway …`;
      continue;
    }
    const running = wasUsed ? await runningIn(dataDir) : new Map<ServiceName, SettingsInEffect>();
    if (running.size > 0) return { dataDir, wasUsed, running, note: '' };
    boxes.push({ dataDir, wasUsed, running, note: '' });
  }
  const found = boxes.find(({ wasUsed }) => wasUsed) ?? boxes[0];
  return { ...(found ?? { dataDir: named, wasUsed: false, running: new Map() }), note };
}

/** A service knows its own ports only after it has chosen them; services that connect to it are given them. The last one counts. */
const BY_WEIGHT: readonly ServiceName[] = ['local-kinesis', 'gateway', 'ble-bridge', 'admin-api', 'forwarder'];

/** The settings of all services that run, as one. */
export function settingsOf({ running }: Box): SettingsInEffect {
  const settings: SettingsInEffect = {};
  for (const service of BY_WEIGHT) Object.assign(settings, running.get(service));
  return settings;
}

/** Says on stderr where the answer comes from if no service gave it. */
export function sayNotRunning(box: Box, what: string): void {
  console.error(`hr-gateway: no running box answers in ${box.dataDir}${box.note}; ${what}`);
}

/** The settings of the box: what this environment sets, else what the running services use. Throws as `processConfig` does. */
export function configOf(box: Box): Config {
  return { ...configBeside(settingsOf(box)), DATA_DIR: box.dataDir };
}

/** The box and its settings, for commands that read. */
export async function findBoxWithConfig(): Promise<{ box: Box; config: Config }> {
  const box = await findBox(processConfig());
  return { box, config: configOf(box) };
}

function notRunning(box: Box, service: ServiceName): HrError {
  const used = box.wasUsed ? `the ${service} of the box in ${box.dataDir} does not run` : `no box uses ${box.dataDir}`;
  return new HrError('box_not_running', { operation: `ask the ${service}`, detail: `${used}${box.note}` });
}

/** Throws HrError `box_not_running` if no box has ever used this folder: what is read there would be taken for a box's. */
export function requireUsed(box: Box, service: ServiceName): void {
  requireVolumeOf(service, { DATA_DIR: box.dataDir });
  if (!box.wasUsed && !existsSync(path.join(box.dataDir, 'keys'))) throw notRunning(box, service);
}

/**
 * Has a running service of the box carry out a command. Throws HrError `wrong_container` in the container of another service,
 * `box_not_running`, `command_timeout`, or the service's code.
 */
export async function askBox<V extends ControlVerb>(
  box: Box,
  service: ServiceName,
  verb: V,
  args: ControlArgs<V>,
  options?: { timeoutMs: number },
): Promise<ControlResult<V>> {
  requireVolumeOf(service, { DATA_DIR: box.dataDir });
  const result = await askService(box.dataDir, service, verb, args, options);
  if (result === undefined) throw notRunning(box, service);
  return result;
}
