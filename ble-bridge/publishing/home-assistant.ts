/**
 * Home Assistant discovery (retained `homeassistant/<component>/<gateway>_<device>/<entity>/config`): each strap is a device with heart
 * rate, contact, battery and signal strength. Fields as documented by Home Assistant for its MQTT sensor and binary_sensor.
 */
import { deviceStatusTopic, readingTopic, serviceStatusTopic } from '../../contract/topics.ts';
import { VERSION } from '../../service/process/version.ts';
import type { PublishLine } from './publish-line.ts';

/** Home Assistant shows the value as unavailable if no reading arrives for this long. */
const EXPIRE_AFTER_S = 15;
/** Removals kept while the broker is not connected; beyond this the oldest are dropped. */
const REMOVED_MAX = 1000;
const AVAILABLE = "{{ 'online' if value_json.state in ['streaming', 'no_pulse', 'no_contact'] else 'offline' }}";
const BRIDGE_ONLINE = '{{ value_json.state }}';

export interface DiscoveryMessage {
  topic: string;
  payload: string;
}

interface Entity {
  component: 'sensor' | 'binary_sensor';
  id: string;
  config: Record<string, unknown>;
}

function entitiesOf(device: string): Entity[] {
  return [
    {
      component: 'sensor',
      id: 'heart_rate',
      config: {
        name: 'Heart rate',
        state_topic: readingTopic(device),
        value_template: '{{ value_json.heart_rate }}',
        unit_of_measurement: 'bpm',
        state_class: 'measurement',
        icon: 'mdi:heart-pulse',
        expire_after: EXPIRE_AFTER_S,
      },
    },
    {
      component: 'binary_sensor',
      id: 'contact',
      config: {
        name: 'Skin contact',
        state_topic: readingTopic(device),
        value_template: "{{ 'None' if value_json.sensor_contact is none else ('ON' if value_json.sensor_contact else 'OFF') }}",
        device_class: 'connectivity',
        entity_category: 'diagnostic',
        expire_after: EXPIRE_AFTER_S,
      },
    },
    {
      component: 'sensor',
      id: 'battery',
      config: {
        name: 'Battery',
        state_topic: deviceStatusTopic(device),
        value_template: '{{ value_json.battery_percent }}',
        unit_of_measurement: '%',
        device_class: 'battery',
        state_class: 'measurement',
        entity_category: 'diagnostic',
      },
    },
    {
      component: 'sensor',
      id: 'rssi',
      config: {
        name: 'Signal strength',
        state_topic: deviceStatusTopic(device),
        value_template: '{{ value_json.rssi }}',
        unit_of_measurement: 'dBm',
        device_class: 'signal_strength',
        state_class: 'measurement',
        entity_category: 'diagnostic',
      },
    },
  ];
}

/** The discovery messages of a strap. */
export function discoveryMessages(gateway: string, device: string, name: string | null): DiscoveryMessage[] {
  const node = `${gateway}_${device}`;
  return entitiesOf(device).map(({ component, id, config }) => ({
    topic: `homeassistant/${component}/${node}/${id}/config`,
    payload: JSON.stringify({
      ...config,
      unique_id: `${node}_${id}`,
      default_entity_id: `${component}.${`${device}_${id}`.replaceAll('-', '_')}`,
      availability: [
        { topic: deviceStatusTopic(device), value_template: AVAILABLE },
        { topic: serviceStatusTopic(gateway, 'ble-bridge'), value_template: BRIDGE_ONLINE },
      ],
      availability_mode: 'all',
      device: { identifiers: [node], name: name ?? device },
      origin: { name: 'hr-gateway', sw_version: VERSION },
    }),
  }));
}

export class HomeAssistant {
  readonly #line: PublishLine;
  readonly #gateway: () => string;
  readonly #devices = new Map<string, string | null>();
  /** Devices whose topics are still to be removed, once the broker is connected. */
  readonly #removed = new Set<string>();

  /** `gateway`: name of this box; called when something is published. */
  constructor(line: PublishLine, gateway: () => string) {
    this.#line = line;
    this.#gateway = gateway;
  }

  add(device: string, name: string | null): void {
    this.#devices.set(device, name);
    this.#removed.delete(device);
    this.#publish(device, name);
  }

  /** Removes the entities of a strap: an empty retained payload deletes them. */
  remove(device: string): void {
    const name = this.#devices.get(device) ?? null;
    this.#devices.delete(device);
    const sent = discoveryMessages(this.#gateway(), device, name).every(({ topic }) =>
      this.#line.publish(topic, '', { retain: true }),
    );
    if (sent) return;
    this.#removed.add(device);
    const [oldest] = this.#removed;
    if (this.#removed.size > REMOVED_MAX && oldest !== undefined) this.#removed.delete(oldest);
  }

  /** The broker is connected; it may have lost its retained messages. */
  up(): void {
    const removed = [...this.#removed];
    this.#removed.clear();
    for (const device of removed) this.remove(device);
    for (const [device, name] of this.#devices) this.#publish(device, name);
  }

  #publish(device: string, name: string | null): void {
    for (const { topic, payload } of discoveryMessages(this.#gateway(), device, name))
      this.#line.publish(topic, payload, { retain: true });
  }
}
