/**
 * Every MQTT topic that crosses a process border (design section 2). Topics are built and parsed only here.
 */

export const SERVICE_NAMES = ['gateway', 'ble-bridge', 'forwarder', 'admin-api', 'local-kinesis'] as const;
export type ServiceName = (typeof SERVICE_NAMES)[number];

/** The name of a box, `GATEWAY_NAME`: lower-case letters, digits and hyphens, at most 64. */
export const GATEWAY_PATTERN = /^[a-z0-9-]{1,64}$/;
/** In place of a gateway's name: filters for every gateway. */
export const ANY_GATEWAY = '+';
/** The name of a strap's device as it stands in topics: lower-case letters, digits and hyphens, at most 64. */
export const DEVICE_PATTERN = /^[a-z0-9-]{1,64}$/;
/**
 * Device names of other clients: one topic level of 1-64 code points, without control, format or line-separator characters, not `.` or
 * `..`. A topic that was not valid UTF-8 holds U+FFFD by the time it arrives, and two such topics may be the same text: refused too.
 * Names of straps are among them. Keys in Maps only, never of objects: `__proto__` is one.
 */
export const ANY_DEVICE_PATTERN = /^(?!\.{1,2}$)[^/+#\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\u{fffd}]{1,64}$/u;
/** 16 hexadecimal digits, chosen at the start of a bridge process. */
export const RUN_PATTERN = /^[0-9a-f]{16}$/;

export const READINGS_FILTER = 'hr/+/bpm';
export const DEVICE_STATUS_FILTER = 'hr/+/status';
export const GAP_FILTER = 'hr/+/gap';
export const SERVICE_STATUS_FILTER = 'edge/+/+/status';
/** A bridge of version 1 offers its readings here. */
export const VERSION_1_SOURCE_FILTER = 'edge/source/+';

export const readingTopic = (device: string): string => `hr/${device}/bpm`;
export const deviceStatusTopic = (device: string): string => `hr/${device}/status`;
export const gapTopic = (device: string): string => `hr/${device}/gap`;
export const serviceStatusTopic = (gateway: string, service: ServiceName): string => `edge/${gateway}/${service}/status`;
export const serviceMetricsTopic = (gateway: string, service: ServiceName): string => `edge/${gateway}/${service}/metrics`;
export const serviceMetricsFilter = (gateway: string): string => `edge/${gateway}/+/metrics`;
/** Who wears a strap (person.ts). */
export const personTopic = (gateway: string, device: string): string => `edge/${gateway}/person/${device}`;
export const personFilter = (gateway: string): string => `edge/${gateway}/person/+`;
export const requestTopic = (gateway: string, service: ServiceName, verb: string): string =>
  `edge/${gateway}/${service}/request/${verb}`;
export const requestFilter = (gateway: string, service: ServiceName): string => `edge/${gateway}/${service}/request/+`;
export const responseTopic = (gateway: string, service: ServiceName, id: string): string =>
  `edge/${gateway}/${service}/response/${id}`;
/** Responses of every service of a gateway. */
export const responseFilter = (gateway: string): string => `edge/${gateway}/+/response/+`;

/** Version 1 had one box on a broker: its topics do not name the gateway. */
export const VERSION_1_STATUS_FILTER = 'edge/+/status';
export const version1StatusTopic = (service: ServiceName): string => `edge/${service}/status`;

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

/** The device of `edge/<gateway>/person/<device>`, or undefined. */
export function personDeviceOf(topic: string): string | undefined {
  const device = topic.slice(topic.lastIndexOf('/') + 1);
  return DEVICE_PATTERN.test(device) ? device : undefined;
}

/** A service of a box. */
export interface ServiceOfGateway {
  gateway: string;
  service: ServiceName;
}

/** Whose topic an `edge/<gateway>/<service>/…` topic is, or undefined. */
export function serviceOfTopic(topic: string): ServiceOfGateway | undefined {
  const [first, gateway, name] = topic.split('/');
  const service = SERVICE_NAMES.find((known) => known === name);
  if (first !== 'edge' || gateway === undefined || service === undefined || !GATEWAY_PATTERN.test(gateway)) return undefined;
  return { gateway, service };
}
