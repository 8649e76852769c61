/**
 * What the admin API knows: the last statuses, readings and gaps it heard over MQTT, each with its age. A service that is offline, or a
 * broker that is away, leaves last known values, marked as such; nothing is ever shown as current that is not.
 */
import { parseDeviceStatus, parseGap, type DeviceStatus, type Gap } from '../contract/device-status.ts';
import { parseReading } from '../contract/reading.ts';
import { parseMetrics, parseServiceStatus, type MetricsMessage, type ServiceStatus } from '../contract/service-status.ts';
import {
  DEVICE_STATUS_FILTER,
  deviceOfTopic,
  GAP_FILTER,
  READINGS_FILTER,
  SERVICE_METRICS_FILTER,
  SERVICE_STATUS_FILTER,
  serviceOfTopic,
  type ServiceName,
} from '../contract/topics.ts';
import type { MessageHandler } from '../service/mqtt/mqtt-link.ts';

/** A reading as it is kept for ten minutes. */
export interface RecentReading {
  timestamp: string;
  heart_rate: number;
  sensor_contact: boolean | null;
}

interface Device {
  status: DeviceStatus;
  /** Its status was said by a bridge; else it is a device of another app, of which only readings are known. */
  said: boolean;
  readings: RecentReading[];
  lastGap: Gap | undefined;
}

interface Heard<T> {
  value: T;
  atMs: number;
}

export type FleetEvent =
  | { type: 'reading'; device: string; reading: RecentReading }
  | { type: 'device'; device: string; status: DeviceStatus | null }
  | { type: 'service'; service: string };

/** Ten minutes at up to 4 readings a second. */
const READINGS_MAX = 2400;
const READINGS_MS = 10 * 60_000;
const DEVICES_MAX = 500;
const APP_SILENT_MS = 10_000;
/** A service says its status every 5 s: after three times as long it is not current any more. */
export const STATUS_STALE_MS = 15_000;

export class Fleet {
  readonly #devices = new Map<string, Device>();
  readonly #services = new Map<ServiceName, Heard<ServiceStatus>>();
  readonly #metrics = new Map<ServiceName, Heard<MetricsMessage>>();
  readonly #listeners = new Set<(event: FleetEvent) => void>();
  readingsHeard = 0;

  get subscriptions(): Record<string, MessageHandler> {
    return {
      [READINGS_FILTER]: (topic, payload, retained) => {
        if (!retained) this.#reading(topic, payload);
      },
      [DEVICE_STATUS_FILTER]: (topic, payload) => this.#deviceStatus(topic, payload),
      [GAP_FILTER]: (topic, payload) => this.#gap(topic, payload),
      [SERVICE_STATUS_FILTER]: (topic, payload) => this.#serviceStatus(topic, payload),
      [SERVICE_METRICS_FILTER]: (topic, payload) => this.#serviceMetrics(topic, payload),
    };
  }

  onEvent(listener: (event: FleetEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #emit(event: FleetEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  #device(name: string): Device | undefined {
    let device = this.#devices.get(name);
    if (device === undefined) {
      if (this.#devices.size >= DEVICES_MAX) return undefined;
      device = { status: unknownDevice(name), said: false, readings: [], lastGap: undefined };
      this.#devices.set(name, device);
    }
    return device;
  }

  #reading(topic: string, payload: Buffer): void {
    const name = deviceOfTopic(topic);
    const parsed = name === undefined ? undefined : parseReading(payload);
    if (name === undefined || parsed === undefined || !parsed.ok) return;
    const device = this.#device(name);
    if (device === undefined) return;
    this.readingsHeard += 1;
    const { timestamp, heart_rate, sensor_contact, source } = parsed.value;
    if (!device.said) {
      const { status } = device;
      device.status = { ...status, readings: status.readings + 1, last_reading_at: timestamp, source: source ?? status.source };
      if (status.readings === 0) this.#emit({ type: 'device', device: name, status: this.#current(device) });
    }
    const reading: RecentReading = { timestamp, heart_rate, sensor_contact: sensor_contact ?? null };
    device.readings.push(reading);
    const oldest = Date.now() - READINGS_MS;
    while (device.readings.length > READINGS_MAX || Date.parse(device.readings[0]?.timestamp ?? '') < oldest)
      device.readings.shift();
    this.#emit({ type: 'reading', device: name, reading });
  }

  #deviceStatus(topic: string, payload: Buffer): void {
    const name = deviceOfTopic(topic);
    if (name === undefined) return;
    if (payload.length === 0) {
      this.#devices.delete(name);
      return this.#emit({ type: 'device', device: name, status: null });
    }
    const parsed = parseDeviceStatus(payload);
    const device = parsed.ok ? this.#device(name) : undefined;
    if (!parsed.ok || device === undefined) return;
    device.said = true;
    device.status = { ...parsed.value, device: name };
    this.#emit({ type: 'device', device: name, status: device.status });
  }

  #gap(topic: string, payload: Buffer): void {
    const name = deviceOfTopic(topic);
    const parsed = parseGap(payload);
    const device = name === undefined ? undefined : this.#devices.get(name);
    if (parsed.ok && device !== undefined) device.lastGap = parsed.value;
  }

  #serviceStatus(topic: string, payload: Buffer): void {
    const service = serviceOfTopic(topic);
    const parsed = parseServiceStatus(payload);
    if (service === undefined || !parsed.ok) return;
    const before = this.#services.get(service)?.value;
    // The will has no details: what was known before stands beside it, as last known.
    const value = parsed.value.state === 'offline' && before !== undefined ? { ...before, ...parsed.value } : parsed.value;
    this.#services.set(service, { value, atMs: Date.now() });
    this.#emit({ type: 'service', service });
  }

  #serviceMetrics(topic: string, payload: Buffer): void {
    const service = serviceOfTopic(topic);
    const parsed = parseMetrics(payload);
    if (service !== undefined && parsed.ok) this.#metrics.set(service, { value: parsed.value, atMs: Date.now() });
  }

  /** Of a device whose status nobody says, the state is the age of its readings. */
  #current({ status, said }: Device): DeviceStatus {
    if (said) return status;
    return { ...status, state: Date.now() - Date.parse(status.last_reading_at ?? '') < APP_SILENT_MS ? 'streaming' : 'silent' };
  }

  devices(): (DeviceStatus & { last_gap: Gap | null })[] {
    return [...this.#devices.values()]
      .map((device) => ({ ...this.#current(device), last_gap: device.lastGap ?? null }))
      .sort((a, b) => (a.device < b.device ? -1 : 1));
  }

  device(name: string): (DeviceStatus & { last_gap: Gap | null }) | undefined {
    return this.devices().find(({ device }) => device === name);
  }

  readings(name: string): readonly RecentReading[] | undefined {
    const device = this.#devices.get(name);
    const oldest = Date.now() - READINGS_MS;
    return device?.readings.filter(({ timestamp }) => Date.parse(timestamp) >= oldest);
  }

  service(name: ServiceName): (Heard<ServiceStatus> & { stale: boolean }) | undefined {
    const heard = this.#services.get(name);
    if (heard === undefined) return undefined;
    const saidAtMs = Date.parse(heard.value.as_of ?? heard.value.since);
    return { ...heard, stale: heard.value.state === 'offline' || Date.now() - Math.min(heard.atMs, saidAtMs) > STATUS_STALE_MS };
  }

  /** Figures that are current: those of a service that is gone would look like a service that stands still. */
  get metrics(): readonly MetricsMessage[] {
    return [...this.#metrics]
      .filter(([service, { atMs }]) => Date.now() - atMs <= STATUS_STALE_MS && this.service(service)?.stale !== true)
      .map(([, { value }]) => value);
  }
}

function unknownDevice(device: string): DeviceStatus {
  return {
    device,
    state: 'silent',
    since: new Date().toISOString(),
    name: null,
    address: null,
    battery_percent: null,
    rssi: null,
    manufacturer: null,
    model: null,
    firmware: null,
    body_sensor_location: null,
    last_reading_at: null,
    readings: 0,
    reconnects: 0,
    source: 'noble',
  };
}
