/**
 * MQTT discovery of Home Assistant: retained `homeassistant/<component>/<node>/<entity>/config`, one message per entity, as every version
 * since 2022 reads it. The bridge describes its straps and itself, the forwarder the box; each box is a device of its own. Fields as in
 * www.home-assistant.io/integrations/mqtt, sensor.mqtt and binary_sensor.mqtt.
 */
export interface DiscoveryMessage {
  topic: string;
  payload: string;
}

export interface DiscoveredEntity {
  component: 'sensor' | 'binary_sensor';
  /** Within its device; part of its unique id, so it never changes. */
  id: string;
  /** Behind the name of the device, which Home Assistant puts in front. */
  name: string;
  config: Readonly<Record<string, unknown>>;
}

export interface DiscoveredDevice {
  /** In topics and unique ids; never changes. */
  node: string;
  /** Beginning of the entity ids that Home Assistant gives to new entities. */
  entityPrefix: string;
  device: Readonly<Record<string, unknown>>;
  availability: readonly { topic: string; value_template: string }[];
}

/**
 * The value of a template; `otherwise` for the empty payload that removes a retained status. There Home Assistant has no `value_json`, and
 * would log an error for each entity.
 */
export const valueOr = (otherwise: string, expression: string): string =>
  `{{ (${expression}) if value_json is defined else '${otherwise}' }}`;

/** Of a service's status: `online` or `offline`. */
export const SERVICE_AVAILABLE = valueOr('offline', 'value_json.state');

export const discoveryTopic = (node: string, { component, id }: Pick<DiscoveredEntity, 'component' | 'id'>): string =>
  `homeassistant/${component}/${node}/${id}/config`;

/** The discovery topics of a box, whose node is its name. */
export const boxDiscoveryFilter = (gateway: string): string => `homeassistant/+/${gateway}/+/config`;

/** Identifies the device of a box: straps name it as the device through which they are connected. */
export const boxIdentifier = (gateway: string): string => `hr-gateway_${gateway}`;

/** The device of a box; `availability`: of the service that describes the entity. */
export const boxDevice = (
  gateway: string,
  version: string,
  availability: DiscoveredDevice['availability'],
): DiscoveredDevice => ({
  node: gateway,
  entityPrefix: gateway,
  device: {
    identifiers: [boxIdentifier(gateway)],
    name: gateway,
    manufacturer: 'hr-gateway',
    model: 'Heart rate gateway',
    sw_version: version,
  },
  availability,
});

export function discoveryMessage(of: DiscoveredDevice, entity: DiscoveredEntity, version: string): DiscoveryMessage {
  const { component, id, name, config } = entity;
  return {
    topic: discoveryTopic(of.node, entity),
    payload: JSON.stringify({
      name,
      ...config,
      unique_id: `${of.node}_${id}`,
      default_entity_id: `${component}.${`${of.entityPrefix}_${id}`.replaceAll('-', '_')}`,
      availability: of.availability,
      availability_mode: 'all',
      device: of.device,
      origin: { name: 'hr-gateway', sw_version: version },
    }),
  };
}
