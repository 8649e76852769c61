/**
 * Every MQTT topic that crosses a process border (design section 2). Topics are made and taken apart here and nowhere else.
 */

export const SERVICE_NAMES = ['gateway', 'ble-bridge', 'forwarder', 'admin-api', 'local-kinesis'] as const;
export type ServiceName = (typeof SERVICE_NAMES)[number];

/** A device name as it stands in topics: lower-case letters, digits and hyphens, at most 64. */
export const DEVICE_PATTERN = /^[a-z0-9-]{1,64}$/;
/** 16 hexadecimal digits, chosen at the start of a bridge process. */
const RUN_PATTERN = /^[0-9a-f]{16}$/;

export const READINGS_FILTER = 'hr/+/bpm';
export const DEVICE_STATUS_FILTER = 'hr/+/status';
export const GAP_FILTER = 'hr/+/gap';
export const SERVICE_STATUS_FILTER = 'edge/+/status';
export const SERVICE_METRICS_FILTER = 'edge/+/metrics';
/** A bridge of version 1 offers its readings here. */
export const VERSION_1_SOURCE_FILTER = 'edge/source/+';

export const readingTopic = (device: string): string => `hr/${device}/bpm`;
export const deviceStatusTopic = (device: string): string => `hr/${device}/status`;
export const gapTopic = (device: string): string => `hr/${device}/gap`;
export const serviceStatusTopic = (service: ServiceName): string => `edge/${service}/status`;
export const serviceMetricsTopic = (service: ServiceName): string => `edge/${service}/metrics`;
export const requestTopic = (service: ServiceName, verb: string): string => `edge/${service}/request/${verb}`;
export const requestFilter = (service: ServiceName): string => `edge/${service}/request/+`;
export const responseTopic = (service: ServiceName, id: string): string => `edge/${service}/response/${id}`;
export const responseFilter = (service: ServiceName): string => `edge/${service}/response/+`;

/** The device of an `hr/<device>/…` topic, or undefined where the topic is none or the name is not allowed. */
export function deviceOfTopic(topic: string): string | undefined {
  const levels = topic.split('/');
  const device = levels[1];
  if (levels.length !== 3 || levels[0] !== 'hr' || device === undefined || !DEVICE_PATTERN.test(device)) return undefined;
  return device;
}

/** The run that is the last level of a topic, or undefined. */
export function runOfTopic(topic: string): string | undefined {
  const run = topic.slice(topic.lastIndexOf('/') + 1);
  return RUN_PATTERN.test(run) ? run : undefined;
}

/** The service of an `edge/<service>/…` topic, or undefined. */
export function serviceOfTopic(topic: string): ServiceName | undefined {
  const name = topic.split('/')[1];
  return SERVICE_NAMES.find((service) => service === name);
}
