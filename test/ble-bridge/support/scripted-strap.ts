/** A sensor link on a radio with one strap, whose steps end as a test scripts it. */
import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { ConnectQueue } from '../../../ble-bridge/radio/connect-queue.ts';
import { encodeHeartRateMeasurement, type HeartRateMeasurement } from '../../../ble-bridge/gatt/hrm-parser.ts';
import { RadioError } from '../../../ble-bridge/radio/radio-error.ts';
import {
  CHARACTERISTICS,
  type ConnectOptions,
  type Radio,
  type RadioCharacteristic,
  type RadioConnection,
  type RadioEvents,
} from '../../../ble-bridge/radio/radio.ts';
import { DEFAULT_LIMITS } from '../../../ble-bridge/straps/link-limits.ts';
import { SensorLink } from '../../../ble-bridge/straps/sensor-link.ts';
import { eventually } from '../../support/eventually.ts';
import { testConfig, testLog } from '../../support/test-config.ts';

/** How each step of a link ends: at once, with an error, or never. */
interface Script {
  connect: 'ok' | 'hangs' | 'fails';
  discover: 'ok' | 'hangs' | 'no_heart_rate';
  subscribe: 'ok' | 'hangs' | 'pairing_failed';
  disconnect: 'ok' | 'hangs';
}

const forever = async (): Promise<never> => await new Promise<never>(() => {});

/** A radio with one strap whose steps end as scripted; counts the calls. */
class ScriptedRadio implements Radio {
  readonly kind = 'noble';
  readonly adapter = 'hci0';
  readonly state = 'powered_on';
  readonly stateReason = '';
  readonly unresponsive = false;
  readonly events = new EventEmitter<RadioEvents>();
  readonly script: Script = { connect: 'ok', discover: 'ok', subscribe: 'ok', disconnect: 'ok' };
  connects = 0;
  subscribes = 0;
  disconnects = 0;
  abandons = 0;
  open = 0;
  /** The links so far, oldest first. */
  readonly links: { onDisconnect: (reason: string) => void; onData: (bytes: Buffer) => void }[] = [];

  async start(): Promise<void> {
    await Promise.resolve();
  }
  async stop(): Promise<void> {
    await Promise.resolve();
  }
  async scan(): Promise<void> {
    await Promise.resolve();
  }
  async rebuild(): Promise<void> {
    await Promise.resolve();
  }

  async connect(_address: string, { signal, onDisconnect }: ConnectOptions): Promise<RadioConnection> {
    this.connects += 1;
    if (this.script.connect === 'fails') throw new Error('refused');
    if (this.script.connect === 'hangs')
      return await new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
    this.open += 1;
    assert.equal(this.open, 1, 'a second link while one is open');
    const link = {
      onDisconnect: (reason: string): void => {
        this.open -= 1;
        onDisconnect(reason);
      },
      onData: ((): void => {}) as (bytes: Buffer) => void,
    };
    this.links.push(link);
    const measurement: RadioCharacteristic = {
      uuid: CHARACTERISTICS.heartRateMeasurement,
      notifies: true,
      readable: false,
      read: forever,
      write: forever,
      subscribe: async (onData) => {
        this.subscribes += 1;
        if (this.script.subscribe === 'hangs') return await forever();
        if (this.script.subscribe === 'pairing_failed')
          throw new RadioError('pairing_failed', 'ATT error 0x05, and pairing failed');
        link.onData = onData;
      },
    };
    return {
      answeredAt: -Infinity,
      unasked: { packets: 0, bytes: 0, others: 0 },
      discoverOptional: async () => await Promise.resolve([]),
      discover: async () => {
        if (this.script.discover === 'hangs') return await forever();
        return this.script.discover === 'ok' ? [measurement] : [];
      },
      readName: async () => await Promise.resolve(undefined),
      readRssi: async () => await Promise.resolve(-60),
      disconnect: async () => {
        this.disconnects += 1;
        if (this.script.disconnect === 'hangs') return await forever();
        this.open -= 1;
      },
      abandon: () => {
        this.abandons += 1;
        this.open -= 1;
      },
    };
  }
}

/** Limits for steps that are scripted to hang: on a loaded machine other steps would run into such short limits. */
export const SHORT = { connectMs: 60, discoverMs: 40, subscribeMs: 40, requestMs: 40, disconnectMs: 40 };

/** A link with one strap, and what it reports. */
export function makeLink({ connectMs = 10_000, ...limits }: Partial<typeof DEFAULT_LIMITS> & { connectMs?: number } = {}) {
  const radio = new ScriptedRadio();
  const measurements: HeartRateMeasurement[] = [];
  const ends: string[] = [];
  const states: string[] = [];
  const seen = { malformed: 0, unconfirmed: 0 };
  const queue = new ConnectQueue({ timeoutMs: connectMs, cancelMs: 20 });
  const link = new SensorLink({
    address: 'c0:00:00:00:00:01',
    radio,
    queue,
    log: testLog(testConfig({})),
    limits: { ...DEFAULT_LIMITS, silenceMs: 60_000, backoffMinMs: 10, backoffMaxMs: 40, ...limits },
    slots: { mayQueue: () => true, hasFree: () => true },
    observer: {
      measurement: (measurement) => measurements.push(measurement),
      malformed: () => (seen.malformed += 1),
      stateChanged: (state) => states.push(state),
      information: () => {},
      connected: () => {},
      ended: (reason) => ends.push(reason),
      disconnectUnconfirmed: () => (seen.unconfirmed += 1),
    },
  });
  return { radio, queue, link, measurements, ends, states, seen };
}

/** A notification of 0x2A37. */
export const beat = (bpm: number, contact: boolean | null = true): Buffer =>
  encodeHeartRateMeasurement({ bpm, contact, energyKj: null, rr1024: [] });

/** Advertises, as a scan would report it, until the link is in this state. */
export async function until(made: ReturnType<typeof makeLink>, state: string): Promise<void> {
  await eventually(() => {
    made.link.advertised();
    made.link.tick();
    return made.link.state === state;
  });
}
