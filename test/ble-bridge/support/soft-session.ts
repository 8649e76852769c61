/** A radio session with virtual straps: links, statuses and readings without hardware and MQTT. */
import type { TestContext } from 'node:test';
import { DeviceNames } from '../../../ble-bridge/straps/device-names.ts';
import { RadioSession } from '../../../ble-bridge/straps/radio-session.ts';
import { RadioStatistics } from '../../../ble-bridge/radio/radio-statistics.ts';
import type { LinkLimits } from '../../../ble-bridge/straps/link-limits.ts';
import { SoftRadio, SoftStrap, type SoftSource } from '../../../ble-bridge/radio/virtual/soft-radio.ts';
import { parseAliases, StrapFilter } from '../../../ble-bridge/straps/strap-filter.ts';
import { StrapEvents, type StrapReading } from '../../../ble-bridge/straps/strap-ports.ts';
import type { Strap } from '../../../ble-bridge/straps/strap.ts';
import type { DeviceStatus, Gap } from '../../../contract/device-status.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { testConfig, testLog } from '../../support/test-config.ts';

export interface SoftSession {
  session: RadioSession;
  statistics: RadioStatistics;
  readings: StrapReading[];
  statuses: DeviceStatus[];
  gaps: Gap[];
  /** Devices that were dropped to make room for others. */
  dropped: string[];
  strap(): Strap | undefined;
}

/** Straps that send only what the test makes them send. */
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
  options: { environment?: Record<string, string>; limits?: Partial<LinkLimits>; strapsMax?: number; radio?: SoftRadio } = {},
): Promise<SoftSession> {
  const config = testConfig({ DATA_DIR: tempDir(t), ...options.environment });
  const log = testLog(config);
  const readings: StrapReading[] = [];
  const statuses: DeviceStatus[] = [];
  const gaps: Gap[] = [];
  const dropped: string[] = [];
  const statistics = new RadioStatistics();
  const events = new StrapEvents(log);
  events.on('status', (strap) => statuses.push(strap.status()));
  events.on('dropped', (device) => dropped.push(device));
  const session = new RadioSession({
    config,
    log,
    radio: options.radio ?? new SoftRadio(source),
    statistics,
    names: new DeviceNames(config, parseAliases(config.BLE_ALIASES), log),
    filter: new StrapFilter(config, parseAliases(config.BLE_ALIASES)),
    limits: { backoffMinMs: 50, backoffMaxMs: 200, ...options.limits },
    clock: { state: () => 'synced' },
    sink: { reading: (reading) => readings.push(reading), gap: (_, gap) => gaps.push(gap) },
    history: { take: () => ({}) },
    events,
    ...(options.strapsMax === undefined ? {} : { strapsMax: options.strapsMax }),
    onFatal: () => {},
  });
  t.after(() => session.stop());
  await session.start();
  return { session, statistics, readings, statuses, gaps, dropped, strap: () => session.straps.all[0] };
}
