/** A radio session over straps of this process: links, statuses and readings without hardware and MQTT. */
import type { TestContext } from 'node:test';
import { DeviceNames } from '../../../ble-bridge/straps/device-names.ts';
import { RadioSession } from '../../../ble-bridge/straps/radio-session.ts';
import { RadioStatistics } from '../../../ble-bridge/radio/radio-statistics.ts';
import type { LinkLimits } from '../../../ble-bridge/straps/sensor-link.ts';
import { SoftRadio, SoftStrap, type SoftSource } from '../../../ble-bridge/radio/virtual/soft-radio.ts';
import { parseAliases, StrapFilter } from '../../../ble-bridge/straps/strap-filter.ts';
import type { ReadingFields, Strap } from '../../../ble-bridge/straps/strap.ts';
import type { DeviceStatus, Gap } from '../../../contract/device-status.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { testConfig, testLog } from '../../support/test-config.ts';

export interface SoftSession {
  session: RadioSession;
  statistics: RadioStatistics;
  readings: ReadingFields[];
  statuses: DeviceStatus[];
  gaps: Gap[];
  /** Devices that made room for others. */
  letGo: string[];
  strap(): Strap | undefined;
}

/** Straps that send only what the test tells them to. */
export function quietSource(...names: string[]): SoftSource {
  const straps = names.map(
    (name, index) =>
      new SoftStrap({
        address: `c0:00:00:00:00:${(index + 1).toString(16).padStart(2, '0')}`,
        name,
        rssi: -60,
        batteryPercent: 80,
        manufacturer: 'M',
        model: 'X',
        firmware: '1',
        bodySensorLocation: 1,
      }),
  );
  return { kind: 'simulated', straps, start: () => {}, stop: () => {} };
}

export async function startSoftSession(
  t: Pick<TestContext, 'after'>,
  source: SoftSource,
  options: { environment?: Record<string, string>; limits?: Partial<LinkLimits>; strapsMax?: number } = {},
): Promise<SoftSession> {
  const config = testConfig({ DATA_DIR: tempDir(t), ...options.environment });
  const log = testLog(config);
  const readings: ReadingFields[] = [];
  const statuses: DeviceStatus[] = [];
  const gaps: Gap[] = [];
  const letGo: string[] = [];
  const statistics = new RadioStatistics();
  const session = new RadioSession({
    config,
    log,
    radio: new SoftRadio(source),
    statistics,
    names: new DeviceNames(config, parseAliases(config.BLE_ALIASES), log),
    filter: new StrapFilter(config, parseAliases(config.BLE_ALIASES)),
    limits: { backoffMin: 50, backoffMax: 200, ...options.limits },
    clock: () => 'synced',
    accept: (fields) => readings.push(fields),
    onStatus: (strap) => statuses.push(strap.status()),
    onGap: (_, gap) => gaps.push(gap),
    onNew: () => {},
    onLetGo: (strap) => letGo.push(strap.device),
    ...(options.strapsMax === undefined ? {} : { strapsMax: options.strapsMax }),
    onChanged: () => {},
    onFatal: () => {},
  });
  t.after(() => session.stop());
  await session.start();
  return { session, statistics, readings, statuses, gaps, letGo, strap: () => session.straps.all[0] };
}
