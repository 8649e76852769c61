/**
 * Home Assistant discovery of the bridge: each strap is a device with heart rate, skin contact, battery and signal strength, named after
 * the person who wears it; the bridge itself is an entity of its box. Topics and ids come from the device's name, which a rename does not
 * change: no entity is ever orphaned. A message is published again when something in it has changed.
 */
import {
  boxDevice,
  boxIdentifier,
  discoveryMessage,
  discoveryTopic,
  SERVICE_AVAILABLE,
  valueOr,
  type DiscoveredDevice,
  type DiscoveredEntity,
  type DiscoveryMessage,
} from '../../contract/home-assistant.ts';
import type { DeviceStatus } from '../../contract/device-status.ts';
import { deviceStatusTopic, readingTopic, serviceStatusTopic } from '../../contract/topics.ts';
import { VERSION } from '../../service/process/version.ts';
import type { PublishLine } from './publish-line.ts';

/** Home Assistant shows the value as unavailable if no reading arrives for this long. */
const EXPIRE_AFTER_S = 15;
/** Removals kept while the broker is not connected; beyond this the oldest are dropped. */
const REMOVED_MAX = 1000;

/** What is published about a strap for Home Assistant. */
export interface StrapDescription extends Pick<DeviceStatus, 'address' | 'manufacturer' | 'model' | 'firmware' | 'source'> {
  /** Shown: the person's name, or the strap's own. */
  name: string | null;
}

/** The bridge's own line is the strap's only if its status says so: another box may read it. */
const availableOn = (gateway: string): string =>
  valueOr(
    'offline',
    `'online' if value_json.state in ['streaming', 'no_pulse', 'no_contact'] and value_json.gateway | default('${gateway}') == ` +
      `'${gateway}' else 'offline'`,
  );

function entitiesOf(device: string): DiscoveredEntity[] {
  return [
    {
      component: 'sensor',
      id: 'heart_rate',
      name: 'Heart rate',
      config: {
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
      name: 'Skin contact',
      config: {
        state_topic: readingTopic(device),
        value_template: "{{ 'None' if value_json.sensor_contact is none else ('ON' if value_json.sensor_contact else 'OFF') }}",
        // Shown as detected or clear: somebody wears the strap.
        device_class: 'occupancy',
        expire_after: EXPIRE_AFTER_S,
      },
    },
    {
      component: 'sensor',
      id: 'battery',
      name: 'Battery',
      config: {
        state_topic: deviceStatusTopic(device),
        value_template: valueOr('None', 'value_json.battery_percent'),
        unit_of_measurement: '%',
        device_class: 'battery',
        state_class: 'measurement',
        entity_category: 'diagnostic',
      },
    },
    {
      component: 'sensor',
      id: 'rssi',
      name: 'Signal strength',
      config: {
        state_topic: deviceStatusTopic(device),
        value_template: valueOr('None', 'value_json.rssi'),
        unit_of_measurement: 'dBm',
        device_class: 'signal_strength',
        state_class: 'measurement',
        entity_category: 'diagnostic',
      },
    },
  ];
}

const nodeOf = (gateway: string, device: string): string => `${gateway}_${device}`;

const online = (gateway: string): DiscoveredDevice['availability'][number] => ({
  topic: serviceStatusTopic(gateway, 'ble-bridge'),
  value_template: SERVICE_AVAILABLE,
});

function deviceOf(gateway: string, device: string, strap: StrapDescription): DiscoveredDevice {
  const { name, address, manufacturer, model, firmware, source } = strap;
  const known = Object.entries({ manufacturer, model, sw_version: firmware }).filter(([, value]) => value !== null);
  // A simulated strap has no address of its own: Home Assistant would take it for another device that has.
  const connections = address === null || source !== 'noble' ? {} : { connections: [['bluetooth', address.toUpperCase()]] };
  const node = nodeOf(gateway, device);
  return {
    node,
    entityPrefix: device,
    device: {
      identifiers: [node],
      name: name ?? device,
      ...Object.fromEntries(known),
      ...connections,
      via_device: boxIdentifier(gateway),
    },
    availability: [{ topic: deviceStatusTopic(device), value_template: availableOn(gateway) }, online(gateway)],
  };
}

/** The discovery messages of a strap. */
export function discoveryMessages(gateway: string, device: string, strap: StrapDescription): DiscoveryMessage[] {
  const described = deviceOf(gateway, device, strap);
  return entitiesOf(device).map((entity) => discoveryMessage(described, entity, VERSION));
}

/** The discovery message of the bridge itself. */
export function bridgeMessage(gateway: string): DiscoveryMessage {
  const entity: DiscoveredEntity = {
    component: 'binary_sensor',
    id: 'bridge_problem',
    name: 'Bluetooth problem',
    config: {
      state_topic: serviceStatusTopic(gateway, 'ble-bridge'),
      value_template: valueOr(
        'None',
        "'ON' if value_json.checks | default([]) | rejectattr('status', 'eq', 'ok') | list else 'OFF'",
      ),
      device_class: 'problem',
      entity_category: 'diagnostic',
    },
  };
  return discoveryMessage(boxDevice(gateway, VERSION, [online(gateway)]), entity, VERSION);
}

export class HomeAssistant {
  readonly #line: PublishLine;
  readonly #gateway: () => string;
  readonly #straps = new Map<string, StrapDescription>();
  /** Payloads that the broker has, by topic. */
  readonly #published = new Map<string, string>();
  /** Devices whose topics are still to be removed, once the broker is connected. */
  readonly #removed = new Set<string>();

  /** `gateway`: name of this box; called when something is published. */
  constructor(line: PublishLine, gateway: () => string) {
    this.#line = line;
    this.#gateway = gateway;
  }

  /** Describes a strap; again, if something has changed. */
  add(device: string, strap: StrapDescription): void {
    this.#straps.set(device, strap);
    this.#removed.delete(device);
    this.#publish(discoveryMessages(this.#gateway(), device, strap));
  }

  /** Removes the entities of a strap: an empty retained payload deletes them. */
  remove(device: string): void {
    this.#straps.delete(device);
    const node = nodeOf(this.#gateway(), device);
    const sent = entitiesOf(device).every((entity) => {
      const topic = discoveryTopic(node, entity);
      this.#published.delete(topic);
      return this.#line.publish(topic, '', { retain: true });
    });
    if (sent) return;
    this.#removed.add(device);
    const [oldest] = this.#removed;
    if (this.#removed.size > REMOVED_MAX && oldest !== undefined) this.#removed.delete(oldest);
  }

  /** The broker is connected; it may have lost its retained messages. */
  up(): void {
    this.#published.clear();
    // Before the straps, which name its box.
    this.#publish([bridgeMessage(this.#gateway())]);
    const removed = [...this.#removed];
    this.#removed.clear();
    for (const device of removed) this.remove(device);
    for (const [device, strap] of this.#straps) this.#publish(discoveryMessages(this.#gateway(), device, strap));
  }

  #publish(messages: readonly DiscoveryMessage[]): void {
    for (const { topic, payload } of messages) {
      if (this.#published.get(topic) === payload) continue;
      if (this.#line.publish(topic, payload, { retain: true })) this.#published.set(topic, payload);
    }
  }
}
