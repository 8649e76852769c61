/**
 * Who may publish and subscribe what (design sections 2 and 5). Each service has the rights of the topic table; anonymous clients
 * may read the topics below if that is enabled, and never publish.
 */
import type { ServiceName } from '../contract/topics.ts';

export interface Rights {
  publish: readonly string[];
  subscribe: readonly string[];
}

export const ANONYMOUS_READ: Rights = { publish: [], subscribe: ['hr/#', 'edge/+/status', 'homeassistant/#'] };

const own = (service: ServiceName): string[] => [
  `edge/${service}/status`,
  `edge/${service}/metrics`,
  `edge/${service}/response/+`,
];

/**
 * A bridge of version 1 uses these topics. It may, so that it stays connected and keeps its readings until it is updated; the forwarder
 * only reports it.
 */
const BRIDGE_OF_VERSION_1: Rights = { publish: ['edge/source/+', 'edge/resend/+'], subscribe: ['edge/stored/+'] };

export const SERVICE_RIGHTS: Readonly<Record<ServiceName, Rights>> = {
  gateway: { publish: own('gateway'), subscribe: ['edge/gateway/request/+'] },
  'ble-bridge': {
    publish: [
      ...own('ble-bridge'),
      'hr/+/bpm',
      'hr/+/status',
      'hr/+/gap',
      'edge/+/offer/+',
      'edge/+/readings/+',
      'homeassistant/#',
      ...BRIDGE_OF_VERSION_1.publish,
    ],
    subscribe: [
      'edge/ble-bridge/request/+',
      'edge/+/stored/+',
      'edge/sync',
      'edge/+/status',
      'hr/+/status',
      'homeassistant/#',
      ...BRIDGE_OF_VERSION_1.subscribe,
    ],
  },
  forwarder: {
    publish: [...own('forwarder'), 'hr/+/gap', 'edge/+/stored/+', 'edge/sync'],
    subscribe: [
      'edge/forwarder/request/+',
      'hr/+/bpm',
      'edge/+/offer/+',
      'edge/+/readings/+',
      'edge/sync',
      'edge/source/+',
      'edge/+/status',
    ],
  },
  'admin-api': {
    publish: [...own('admin-api'), 'edge/+/request/+'],
    subscribe: ['hr/#', 'edge/+/status', 'edge/+/metrics', 'edge/+/response/+', 'edge/admin-api/request/+', 'homeassistant/#'],
  },
  'local-kinesis': { publish: own('local-kinesis'), subscribe: ['edge/local-kinesis/request/+'] },
};

/**
 * Why a filter may not be granted to a user, or undefined: `edge/` (but for statuses) and `$SYS` are the services', and a wildcard in
 * the first level would reach them.
 */
export function filterFault(kind: keyof Rights, filter: string): string | undefined {
  const levels = filter.split('/');
  const first = levels[0] ?? '';
  if (filter === '' || filter.length > 256 || filter.includes('\0')) return 'is not a filter';
  if (levels.some((level, index) => (level.length > 1 && /[#+]/.test(level)) || (level === '#' && index !== levels.length - 1)))
    return 'has a wildcard in a place where none is allowed';
  if (first === '#' || first === '+') return 'the first level must be named: a wildcard there would reach edge/ and $SYS';
  if (first.startsWith('$')) return "$ topics are the broker's";
  if (first === 'edge' && !(kind === 'subscribe' && covers('edge/+/status', filter)))
    return 'edge/ is for the services; edge/+/status may be read';
  return undefined;
}

/** True if `granted` matches everything that `asked` (a topic or filter) can match. */
export function covers(granted: string, asked: string): boolean {
  const grants = granted.split('/');
  const asks = asked.split('/');
  for (const [index, level] of grants.entries()) {
    if (level === '#') return !(index === 0 && asked.startsWith('$'));
    const want = asks[index];
    if (want === undefined || want === '#') return false;
    if (level === '+' ? index === 0 && want.startsWith('$') : level !== want) return false;
  }
  return grants.length === asks.length;
}

/** Checks rights, and caches the results: the same few topics are checked all the time. */
export class RightsCheck {
  readonly #rights: Rights;
  readonly #decided = { publish: new Map<string, boolean>(), subscribe: new Map<string, boolean>() };
  static readonly #REMEMBERED_MAX = 2000;

  constructor(rights: Rights) {
    this.#rights = rights;
  }

  #decide(kind: keyof Rights, asked: string): boolean {
    const decided = this.#decided[kind];
    const known = decided.get(asked);
    if (known !== undefined) return known;
    const allowed = this.#rights[kind].some((granted) => covers(granted, asked));
    if (decided.size >= RightsCheck.#REMEMBERED_MAX) decided.clear();
    decided.set(asked, allowed);
    return allowed;
  }

  mayPublish(topic: string): boolean {
    return this.#decide('publish', topic);
  }

  maySubscribe(filter: string): boolean {
    return this.#decide('subscribe', filter);
  }
}
