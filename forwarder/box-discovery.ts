/** Home Assistant discovery of the box: its uplink, what waits in the queue, when a reading was shipped last, and whether all is well. */
import {
  boxDevice,
  discoveryMessage,
  SERVICE_AVAILABLE,
  valueOr,
  type DiscoveredEntity,
  type DiscoveryMessage,
} from '../contract/home-assistant.ts';
import { serviceStatusTopic, type ServiceName } from '../contract/topics.ts';
import { VERSION } from '../service/process/version.ts';

/** A last will has no details: the value is unknown then. */
const ofForwarder = (path: string, unknown = 'None'): string =>
  valueOr(unknown, `value_json.forwarder.${path} if value_json.forwarder is defined else '${unknown}'`);

/**
 * Home Assistant keeps the state of a sensor if its template fails, as the documentation of sensor.mqtt says: so the time outlives a
 * restart of the forwarder, which does not know it. An empty time would not do: some versions warn of it at each status. This failure,
 * of a filter's argument, is not logged.
 */
const LAST_SHIPPED =
  '{{ value_json.forwarder.last_shipped_at if value_json is defined and value_json.forwarder is defined and ' +
  "value_json.forwarder.last_shipped_at else ({} | dictsort(false, 'keep the state')) }}";

function entities(gateway: string): { entity: DiscoveredEntity; of: ServiceName }[] {
  const state_topic = serviceStatusTopic(gateway, 'forwarder');
  const box_topic = serviceStatusTopic(gateway, 'admin-api');
  return [
    {
      of: 'forwarder',
      entity: {
        component: 'sensor',
        id: 'uplink',
        name: 'Uplink',
        config: {
          state_topic,
          value_template: ofForwarder('uplink.state'),
          json_attributes_topic: state_topic,
          json_attributes_template: valueOr(
            '{}',
            'value_json.forwarder.uplink | tojson if value_json.forwarder is defined else {}',
          ),
          icon: 'mdi:cloud-upload',
        },
      },
    },
    {
      of: 'forwarder',
      entity: {
        component: 'sensor',
        id: 'depth',
        name: 'Readings waiting',
        config: {
          state_topic,
          value_template: ofForwarder('depth'),
          unit_of_measurement: 'readings',
          state_class: 'measurement',
          icon: 'mdi:tray-full',
        },
      },
    },
    {
      of: 'forwarder',
      entity: {
        component: 'sensor',
        id: 'last_shipped',
        name: 'Last shipped',
        config: { state_topic, value_template: LAST_SHIPPED, device_class: 'timestamp' },
      },
    },
    {
      // The only service that knows the health of all.
      of: 'admin-api',
      entity: {
        component: 'binary_sensor',
        id: 'problem',
        name: 'Problem',
        config: {
          state_topic: box_topic,
          value_template: valueOr(
            'None',
            "'None' if value_json.box is not defined else ('OFF' if value_json.box.status == 'ok' else 'ON')",
          ),
          json_attributes_topic: box_topic,
          json_attributes_template: valueOr('{}', 'value_json.box | tojson if value_json.box is defined else {}'),
          device_class: 'problem',
        },
      },
    },
  ];
}

/** The discovery messages of a box, to be retained. */
export function boxMessages(gateway: string): DiscoveryMessage[] {
  return entities(gateway).map(({ entity, of }) => {
    const availability = [{ topic: serviceStatusTopic(gateway, of), value_template: SERVICE_AVAILABLE }];
    return discoveryMessage(boxDevice(gateway, VERSION, availability), entity, VERSION);
  });
}
