/**
 * What the admin API knows: the last statuses, readings and gaps received over MQTT, each with its age. While a service is offline or the
 * broker is away, the last known values stay, marked as stale; nothing is ever shown as current that is not.
 */
import { parseDeviceStatus, parseGap, type DeviceStatus, type Gap } from '../contract/device-status.ts';
import { parsePerson, type Person } from '../contract/person.ts';
import { parseMetrics, type MetricsMessage } from '../contract/metrics.ts';
import { readPayload } from '../contract/publication/adopted-reading.ts';
import { parseReading } from '../contract/reading.ts';
import { parseServiceStatus, STATUS_STALE_MS, type ServiceStatus } from '../contract/service-status.ts';
import {
  ANY_GATEWAY,
  DEVICE_STATUS_FILTER,
  deviceOfTopic,
  GAP_FILTER,
  personDeviceOf,
  personFilter,
  READINGS_FILTER,
  SERVICE_NAMES,
  SERVICE_STATUS_FILTER,
  serviceMetricsFilter,
  serviceOfTopic,
  type ServiceName,
  type ServiceOfGateway,
} from '../contract/topics.ts';
import type { MessageHandler } from '../service/mqtt/subscription-routes.ts';
import { serves } from '../service/network/broker.ts';
import type { RefusedMessages } from '../service/mqtt/refused-messages.ts';
import type { DeviceEvent, KnownDevice, ReadingEvent, RecentReading } from './answer-schemas.ts';

interface Device {
  status: DeviceStatus;
  /** A bridge publishes its status; else it is a device of another app, of which only readings are known. */
  hasStatus: boolean;
  readings: RecentReading[];
  lastGap: Gap | undefined;
}

interface Received<T> {
  value: T;
  /** When it was received. */
  atMs: number;
}

/** A status as last received; `stale`: its service is offline or has stopped publishing. */
export type KnownStatus = Received<ServiceStatus> & { stale: boolean };

export type FleetEvent = ReadingEvent | DeviceEvent | { type: 'service'; service: string };

/** Metrics of a service, and whose they are. */
export type KnownMetrics = MetricsMessage & { gateway: string };

/** Whose box this is, and which boxes' bridges it shows. */
export interface FleetScope {
  /** Name of this box. */
  gateway: string;
  /** Gateways whose readings the forwarder of this box takes; `*`: every gateway's. */
  served: readonly string[];
}

/** Ten minutes at up to 4 readings a second. */
const READINGS_MAX = 2400;
const READINGS_MS = 10 * 60_000;
const DEVICES_MAX = 500;
/** Over all boxes whose bridges deliver here. */
const PEOPLE_MAX = 5000;
/** Services with a status, over all boxes on the broker. */
const SERVICES_MAX = 500;
/** A device of another app is shown as silent after this. */
const APP_SILENT_MS = 10_000;

export class Fleet {
  readonly #refused: RefusedMessages;
  readonly #devices = new Map<string, Device>();
  /** Who wears which strap, by gateway and device. */
  readonly #people = new Map<string, Person>();
  /** User by device of another client. */
  readonly #publishers = new Map<string, string>();
  readonly #scope: () => FleetScope;
  /** By gateway and service. */
  readonly #services = new Map<string, Received<ServiceStatus> & ServiceOfGateway>();
  readonly #metrics = new Map<string, Received<MetricsMessage> & ServiceOfGateway>();
  readonly #listeners = new Set<(event: FleetEvent) => void>();
  /** Readings received since the start. */
  readingsReceived = 0;

  /** `scope` is called once the service has started. */
  constructor(refused: RefusedMessages, scope: () => FleetScope) {
    this.#refused = refused;
    this.#scope = scope;
  }

  /** Name of this box. */
  get gateway(): string {
    return this.#scope().gateway;
  }

  /** To be spread into the subscriptions of the service's MqttLink; call it once the service has started. */
  get subscriptions(): Record<string, MessageHandler> {
    const refused = this.#refused;
    const status = refused.reader('device_status', parseDeviceStatus, (topic, value) => this.#deviceStatus(topic, value));
    const serviceStatus = refused.reader('service_status', parseServiceStatus, (topic, value) =>
      this.#serviceStatus(topic, value),
    );
    const metrics = refused.reader('metrics', parseMetrics, (topic, value) => {
      const source = this.#sourceOf(value.service, topic, 'metrics');
      if (source === undefined) return;
      // Metrics of one moment come in parts.
      const before = this.#metrics.get(keyOf(source))?.value;
      const earlier = before?.as_of === value.as_of ? before.metrics : [];
      this.#keep(this.#metrics, source, { ...value, metrics: [...earlier, ...value.metrics] });
    });
    const { gateway, served } = this.#scope();
    // On an external broker an operator grants this box the topics of the boxes that it serves, not those of all.
    const gateways = served.includes('*') ? [ANY_GATEWAY] : [...new Set([gateway, ...served])];
    return {
      [READINGS_FILTER]: (topic, payload, retained) => {
        if (!retained && payload.length > 0) this.#reading(topic, payload);
      },
      [DEVICE_STATUS_FILTER]: (topic, payload, retained) => {
        if (payload.length === 0) this.#deviceRemoved(topic);
        else status(topic, payload, retained);
      },
      [GAP_FILTER]: refused.reader('gap', parseGap, (topic, gap) => {
        const device = this.#devices.get(deviceOfTopic(topic) ?? '');
        if (device !== undefined) device.lastGap = gap;
      }),
      [SERVICE_STATUS_FILTER]: (topic, payload, retained) => {
        if (payload.length === 0) this.#serviceRemoved(topic);
        else serviceStatus(topic, payload, retained);
      },
      ...Object.fromEntries(gateways.map((name) => [serviceMetricsFilter(name), metrics])),
      ...Object.fromEntries(gateways.map((name) => [personFilter(name), this.#personReader(refused)])),
    };
  }

  /** Calls `listener` at each event; returns a function that ends that. */
  onEvent(listener: (event: FleetEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #emit(event: FleetEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  /** Whose message it is, if it names the service of its topic; else it is refused. */
  #sourceOf(service: ServiceName, topic: string, message: 'service_status' | 'metrics'): ServiceOfGateway | undefined {
    const source = serviceOfTopic(topic);
    if (source?.service === service) return source;
    this.#refused.refuse(message, topic, `service is ${service}`);
    return undefined;
  }

  #keep<T>(known: Map<string, Received<T> & ServiceOfGateway>, source: ServiceOfGateway, value: T): void {
    const key = keyOf(source);
    if (known.size < SERVICES_MAX || known.has(key)) known.set(key, { ...source, value, atMs: Date.now() });
  }

  /** The device of a topic, new if need be; undefined if the topic names none or there are too many. */
  #deviceAt(topic: string): Device | undefined {
    const name = deviceOfTopic(topic);
    if (name === undefined) return undefined;
    let device = this.#devices.get(name);
    if (device === undefined) {
      if (this.#devices.size >= DEVICES_MAX) return undefined;
      device = { status: unknownDevice(name), hasStatus: false, readings: [], lastGap: undefined };
      this.#devices.set(name, device);
    }
    return device;
  }

  /** A reading as a strap's bridge publishes it, or what another client publishes, by the rules that decide what is stored of it. */
  #reading(topic: string, payload: Buffer): void {
    const live = liveReading(deviceOfTopic(topic), payload);
    if (live === undefined) return this.#refused.refuse('reading', topic, 'no reading of a strap or of another client');
    if (live === 'no_pulse') return;
    const { source, ...reading } = live;
    const device = this.#deviceAt(topic);
    if (device === undefined) return;
    this.readingsReceived += 1;
    const { status } = device;
    const name = status.device;
    if (!device.hasStatus) {
      const { timestamp: at } = reading;
      device.status = { ...status, readings: status.readings + 1, last_reading_at: at, source: source ?? status.source };
      if (status.readings === 0) this.#emitDevice(name, device);
    }
    device.readings.push(reading);
    const oldest = Date.now() - READINGS_MS;
    while (device.readings.length > READINGS_MAX || Date.parse(device.readings[0]?.timestamp ?? '') < oldest)
      device.readings.shift();
    this.#emit({ type: 'reading', device: name, reading });
  }

  #personReader(refused: RefusedMessages): MessageHandler {
    const known = refused.reader('person', parsePerson, (topic, person) => this.#person(topic, person));
    return (topic, payload, retained) => {
      if (payload.length === 0) this.#person(topic, undefined);
      else known(topic, payload, retained);
    };
  }

  #person(topic: string, person: Person | undefined): void {
    const name = personDeviceOf(topic);
    const gateway = topic.split('/')[1];
    if (name === undefined || gateway === undefined) return;
    const key = `${gateway}/${name}`;
    if (person === undefined) this.#people.delete(key);
    else if (this.#people.size < PEOPLE_MAX || this.#people.has(key)) this.#people.set(key, person);
    const device = this.#devices.get(name);
    if (device !== undefined) this.#emitDevice(name, device);
  }

  #shownAs(device: Device): { person: string | null; max_heart_rate: number | null; publisher: string | null } {
    const { device: name, gateway = this.gateway } = device.status;
    const { name: person = null, max_heart_rate = null } = this.#people.get(`${gateway}/${name}`) ?? {};
    return { person, max_heart_rate, publisher: this.#publisherOf(device) };
  }

  #deviceStatus(topic: string, status: DeviceStatus): void {
    const name = deviceOfTopic(topic);
    if (name !== status.device) return this.#refused.refuse('device_status', topic, `device is ${status.device}`);
    const device = this.#deviceAt(topic);
    if (device === undefined) return;
    device.hasStatus = true;
    device.status = status;
    this.#emitDevice(name, device);
  }

  #emitDevice(name: string, device: Device): void {
    this.#emit({ type: 'device', device: name, status: { ...this.#current(device), ...this.#shownAs(device) } });
  }

  /** The gateway reports who publishes the devices that it adopts readings of. */
  #publisherOf({ status, hasStatus }: Device): string | null {
    return hasStatus ? null : (this.#publishers.get(status.device) ?? '');
  }

  #deviceRemoved(topic: string): void {
    const name = deviceOfTopic(topic);
    if (name === undefined) return;
    this.#devices.delete(name);
    this.#emit({ type: 'device', device: name, status: null });
  }

  #serviceStatus(topic: string, status: ServiceStatus): void {
    const { service } = status;
    const source = this.#sourceOf(service, topic, 'service_status');
    if (source === undefined) return;
    const before = this.#services.get(keyOf(source))?.value;
    // A last will has no details: the last known ones are kept beside it.
    const value = status.state === 'offline' && before !== undefined ? { ...before, ...status } : status;
    this.#keep(this.#services, source, value);
    if (service === 'gateway') this.#publishersReported(status);
    this.#emit({ type: 'service', service });
  }

  #publishersReported({ gateway }: ServiceStatus): void {
    for (const { device: name, publisher } of gateway?.adoption?.devices ?? []) {
      if (this.#publishers.get(name) === publisher) continue;
      if (this.#publishers.size >= DEVICES_MAX) this.#publishers.clear();
      this.#publishers.set(name, publisher);
      const device = this.#devices.get(name);
      if (device !== undefined) this.#emitDevice(name, device);
    }
  }

  /** An operator has removed the retained status of a box that no longer exists. */
  #serviceRemoved(topic: string): void {
    const source = serviceOfTopic(topic);
    if (source !== undefined && this.#services.delete(keyOf(source))) this.#emit({ type: 'service', service: source.service });
  }

  /** The state of a device without a status follows from the age of its readings. */
  #current({ status, hasStatus }: Device): DeviceStatus {
    if (hasStatus) return status;
    return { ...status, state: Date.now() - Date.parse(status.last_reading_at ?? '') < APP_SILENT_MS ? 'streaming' : 'silent' };
  }

  /** Every known device, by name. */
  devices(): KnownDevice[] {
    return [...this.#devices.values()]
      .map((device) => ({
        ...this.#current(device),
        ...this.#shownAs(device),
        last_gap: device.lastGap ?? null,
      }))
      .sort((a, b) => (a.device < b.device ? -1 : 1));
  }

  device(name: string): KnownDevice | undefined {
    return this.devices().find(({ device }) => device === name);
  }

  /** Readings of the last ten minutes, oldest first; undefined if there is no such device. */
  readings(name: string): readonly RecentReading[] | undefined {
    const device = this.#devices.get(name);
    const oldest = Date.now() - READINGS_MS;
    return device?.readings.filter(({ timestamp }) => Date.parse(timestamp) >= oldest);
  }

  /** The last status of a service, of this box if no other is named; undefined if none was received. */
  service(name: ServiceName, gateway = this.#scope().gateway): KnownStatus | undefined {
    const known = this.#services.get(keyOf({ gateway, service: name }));
    if (known === undefined) return undefined;
    const { value, atMs } = known;
    // The clock of another box may be wrong: there only the time of arrival counts.
    const writtenAtMs = gateway === this.#scope().gateway ? Date.parse(value.as_of ?? value.since) : atMs;
    const stale = value.state === 'offline' || Date.now() - Math.min(atMs, writtenAtMs) > STATUS_STALE_MS;
    return { value, atMs, stale };
  }

  /** The names of other boxes whose bridges deliver to this one, in alphabetical order. */
  otherBridges(): string[] {
    const { gateway: own, served } = this.#scope();
    return [...this.#services.values()]
      .filter(({ gateway, service }) => service === 'ble-bridge' && gateway !== own && serves(served, gateway))
      .map(({ gateway }) => gateway)
      .sort();
  }

  /** The services that this box shows: its own, and the bridges that deliver to it. */
  shownServices(): ServiceOfGateway[] {
    const { gateway } = this.#scope();
    return [
      ...SERVICE_NAMES.map((service) => ({ gateway, service })),
      ...this.otherBridges().map((name) => ({ gateway: name, service: 'ble-bridge' as const })),
    ];
  }

  /** Current metrics of the shown services: those of a service that is gone would look like a service that does nothing. */
  get metrics(): readonly KnownMetrics[] {
    return this.shownServices().flatMap((source) => {
      const known = this.#metrics.get(keyOf(source));
      const isCurrent = known !== undefined && Date.now() - known.atMs <= STATUS_STALE_MS;
      if (!isCurrent || this.service(source.service, source.gateway)?.stale === true) return [];
      return [{ ...known.value, gateway: source.gateway }];
    });
  }
}

/** Undefined: no reading. */
function liveReading(
  device: string | undefined,
  payload: Buffer,
): (RecentReading & { source: 'simulated' | 'replay' | undefined }) | 'no_pulse' | undefined {
  const parsed = parseReading(payload);
  if (parsed.ok) {
    const { timestamp, heart_rate, sensor_contact: contact, rr_intervals_ms = [], source } = parsed.value;
    return { timestamp, heart_rate, sensor_contact: contact ?? null, rr_intervals_ms, source };
  }
  if (device === undefined) return undefined;
  const outcome = readPayload(payload, { device, publisher: undefined, arrivedAt: new Date(), clock: 'unknown' });
  if (outcome.kind === 'no_pulse') return 'no_pulse';
  if (outcome.kind !== 'reading') return undefined;
  const { timestamp, heart_rate, source } = outcome.reading;
  return { timestamp, heart_rate, sensor_contact: null, rr_intervals_ms: [], source };
}
const keyOf = ({ gateway, service }: ServiceOfGateway): string => `${gateway}/${service}`;

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
