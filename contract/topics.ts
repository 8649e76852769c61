/**
 * Every MQTT topic that crosses a process border (design section 2). Topics are made and taken apart here and nowhere else.
 */

export const SERVICE_NAMES = ['gateway', 'ble-bridge', 'forwarder', 'admin-api', 'local-kinesis'] as const;
export type ServiceName = (typeof SERVICE_NAMES)[number];

/** The name of a strap's device as it stands in topics: lower-case letters, digits and hyphens, at most 64. */
export const DEVICE_PATTERN = /^[a-z0-9-]{1,64}$/;
/**
 * Device names of other clients: one topic level of 1-64 code points, without control, format or line-separator characters, not `.` or
 * `..`. A topic that was not valid UTF-8 holds U+FFFD by the time it arrives, and two such topics may be the same text: refused too.
 * Names of straps are among them. Keys in Maps only, never of objects: `__proto__` is one.
 */
export const ANY_DEVICE_PATTERN = /^(?!\.{1,2}$)[^/+#\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\u{fffd}]{1,64}$/u;
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

/** The device of an `hr/<device>/…` topic, or undefined if the topic is none or the name is not allowed to anyone. */
export function deviceOfTopic(topic: string): string | undefined {
  const levels = topic.split('/');
  const device = levels[1];
  if (levels.length !== 3 || levels[0] !== 'hr' || device === undefined || !ANY_DEVICE_PATTERN.test(device)) return undefined;
  return device;
}

/** The device of `hr/<device>/bpm`, or undefined for any other topic and for names that are not allowed. */
export function readingDeviceOf(topic: string): string | undefined {
  return topic.endsWith('/bpm') ? deviceOfTopic(topic) : undefined;
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
