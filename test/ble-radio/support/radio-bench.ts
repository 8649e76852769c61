/** A radio session with unmodified noble on the virtual radio, in the test's process: the bridge without MQTT. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import type { TestContext } from 'node:test';
import { DeviceNames } from '../../../ble-bridge/straps/device-names.ts';
import { NobleRadio } from '../../../ble-bridge/radio/noble/noble-radio.ts';
import { RadioSession } from '../../../ble-bridge/straps/radio-session.ts';
import { RadioStatistics } from '../../../ble-bridge/radio/radio-statistics.ts';
import type { LinkLimits } from '../../../ble-bridge/straps/link-limits.ts';
import { parseAliases, StrapFilter } from '../../../ble-bridge/straps/strap-filter.ts';
import { StrapEvents, type StrapReading } from '../../../ble-bridge/straps/strap-ports.ts';
import type { Strap } from '../../../ble-bridge/straps/strap.ts';
import type { DeviceState, Gap } from '../../../contract/device-status.ts';
import { eventually } from '../../support/eventually.ts';
import { tempDir } from '../../support/temp-dir.ts';
import type { Logger } from '../../../service/log/log.ts';
import { testConfig, testLog } from '../../support/test-config.ts';
import { strayListeners } from './listeners.ts';
import { strapAddress, type VirtualRadio } from './virtual-radio.ts';

export interface TakenReading extends StrapReading {
  /** performance.now() */
  at: number;
}

export interface RadioBench {
  session: RadioSession;
  statistics: RadioStatistics;
  readings: TakenReading[];
  gaps: { device: string; gap: Gap }[];
  fatal: unknown[];
  /** Unhandled rejections since the start. */
  unhandled: unknown[];
  /** The bridge's strap for a virtual one, once it was discovered. */
  strap(id: number): Strap | undefined;
  readingsOf(id: number): TakenReading[];
  /** Waits for a state. */
  reaches(id: number, state: DeviceState, withinMs?: number): Promise<void>;
  /** Waits until a strap with a battery is subscribed and its battery was read: from then on no notification is missed. */
  listening(id: number): Promise<void>;
  /** Waits for `count` further readings of a strap; returns how long that took, in ms. */
  flows(id: number, count?: number, withinMs?: number): Promise<number>;
  /** The longest pause between two readings of a strap since `since` (performance.now()), in ms. */
  longestPauseMs(id: number, since: number): number;
  /** Asserts what must hold after each fault: no unhandled rejection, no fatal error, no listener left behind. */
  settled(): Promise<void>;
}

export interface BenchOptions {
  environment?: Record<string, string>;
  limits?: Partial<LinkLimits>;
  ladder?: { rungMs?: number; rebuildsMax?: number };
  reconnectMs?: number;
  log?: Logger;
}

export async function startBench(
  t: Pick<TestContext, 'after'>,
  radio: VirtualRadio,
  options: BenchOptions = {},
): Promise<RadioBench> {
  process.env['NOBLE_HCI_H4'] = `127.0.0.1:${radio.hciPort}`;
  process.env['NOBLE_HCI_H4_RECONNECT_MS'] = String(options.reconnectMs ?? 300);
  createRequire(import.meta.url)('./hci-h4-socket.cjs');
  const config = testConfig({
    DATA_DIR: tempDir(t),
    BLE_SILENCE_MS: '2000',
    LOG_LEVEL: process.env['BENCH_LOG'] ?? 'silent',
    ...options.environment,
  });
  const log = options.log ?? testLog(config);
  const statistics = new RadioStatistics();
  const names = new DeviceNames(config, parseAliases(config.BLE_ALIASES), log);
  const readings: TakenReading[] = [];
  const gaps: RadioBench['gaps'] = [];
  const fatal: unknown[] = [];
  const unhandled: unknown[] = [];
  const onUnhandled = (reason: unknown): void => void unhandled.push(reason);
  process.on('unhandledRejection', onUnhandled);
  t.after(() => process.removeListener('unhandledRejection', onUnhandled));
  const session = new RadioSession({
    config,
    log,
    statistics,
    names,
    radio: new NobleRadio(config, log),
    filter: new StrapFilter(config, parseAliases(config.BLE_ALIASES)),
    limits: {
      discoverMs: 1500,
      subscribeMs: 1500,
      requestMs: 1500,
      disconnectMs: 1000,
      backoffMinMs: 200,
      backoffMaxMs: 1000,
      ...options.limits,
    },
    ...(options.ladder === undefined ? {} : { ladder: options.ladder }),
    clock: { state: () => 'unknown' },
    sink: {
      reading: (reading) => readings.push({ ...reading, at: performance.now() }),
      gap: (device, gap) => gaps.push({ device, gap }),
    },
    history: { take: () => ({}) },
    events: new StrapEvents(log),
    onFatal: (error) => fatal.push(error),
  });
  t.after(() => session.stop());
  await session.start();
  const strap = (id: number): Strap | undefined => session.straps.all.find(({ address }) => address === strapAddress(id));
  const readingsOf = (id: number): TakenReading[] => {
    const device = strap(id)?.device;
    return readings.filter((reading) => reading.device === device);
  };
  return {
    session,
    statistics,
    readings,
    gaps,
    fatal,
    unhandled,
    strap,
    readingsOf,
    async reaches(id, state, withinMs = 30_000) {
      await eventually(() => strap(id)?.link.state === state, {
        withinMs,
        what: `strap ${id} ${state} (is ${strap(id)?.link.state ?? 'unknown'})`,
      });
    },
    async listening(id) {
      await eventually(() => strap(id)?.link.connected === true && strap(id)?.status().battery_percent !== null, {
        what: `strap ${id} subscribed`,
      });
    },
    async flows(id, count = 2, withinMs = 45_000) {
      const from = performance.now();
      const before = readingsOf(id).length;
      await eventually(() => readingsOf(id).length >= before + count, {
        withinMs,
        what: `${count} readings of strap ${id} (is ${strap(id)?.link.state ?? 'unknown'})`,
      });
      return performance.now() - from;
    },
    async settled() {
      await eventually(() => strayListeners().length === 0, { what: `no listener left behind: ${strayListeners().join('; ')}` });
      assert.deepEqual(unhandled, []);
      assert.deepEqual(fatal, []);
    },
    longestPauseMs(id, since) {
      const times = [
        since,
        ...readingsOf(id)
          .map(({ at }) => at)
          .filter((at) => at >= since),
        performance.now(),
      ];
      return Math.max(...times.slice(1).map((at, index) => at - (times[index] ?? at)));
    },
  };
}
