/**
 * Who may publish and subscribe what (design sections 2 and 5). Each service has the rights of the topic table; anonymous clients
 * may read the topics below if that is enabled, and never publish.
 */
import { boxDiscoveryFilter } from '../contract/home-assistant.ts';
import {
  ANY_GATEWAY,
  personFilter,
  requestFilter,
  responseTopic,
  SERVICE_NAMES,
  serviceMetricsTopic,
  serviceStatusTopic,
  SERVICE_STATUS_FILTER,
  version1StatusTopic,
  VERSION_1_STATUS_FILTER,
  type ServiceName,
} from '../contract/topics.ts';

export interface Rights {
  publish: readonly string[];
  subscribe: readonly string[];
}

/** Not `homeassistant/#`: discovery has the names of the people who wear the straps. */
export const ANONYMOUS_READ: Rights = { publish: [], subscribe: ['hr/#', SERVICE_STATUS_FILTER] };

/** What an operator's account may read beside what it is granted: everything. `#` does not match `$SYS`. */
export const OPERATOR_READ: readonly string[] = ['#', '$SYS/#'];

const own = (gateway: string, service: ServiceName): string[] => [
  serviceStatusTopic(gateway, service),
  serviceMetricsTopic(gateway, service),
  responseTopic(gateway, service, '+'),
];

/** Rights of a bridge, of this box or of another one: on the topics of its own gateway, and on the live plane. */
export function bridgeRights(gateway: string): Rights {
  return {
    publish: [
      ...own(gateway, 'ble-bridge'),
      'hr/+/bpm',
      'hr/+/status',
      'hr/+/gap',
      `edge/${gateway}/offer/+`,
      `edge/${gateway}/readings/+`,
      personFilter(gateway),
      'homeassistant/#',
    ],
    subscribe: [
      personFilter(gateway),
      requestFilter(gateway, 'ble-bridge'),
      `edge/${gateway}/stored/+`,
      'edge/sync',
      SERVICE_STATUS_FILTER,
      'hr/+/status',
      'homeassistant/#',
    ],
  };
}

/** Rights of a bridge under an earlier name of its box: to deliver what it numbered then. */
export function formerRights(gateway: string): Rights {
  return {
    publish: [`edge/${gateway}/offer/+`, `edge/${gateway}/readings/+`],
    subscribe: [`edge/${gateway}/stored/+`],
  };
}

/**
 * A bridge of version 1 uses these topics. It may, so that it stays connected and keeps its readings until it is updated; the forwarder
 * only reports it.
 */
const BRIDGE_OF_VERSION_1: Rights = {
  publish: ['edge/ble-bridge/status', 'edge/ble-bridge/metrics', 'edge/ble-bridge/response/+', 'edge/source/+', 'edge/resend/+'],
  subscribe: ['edge/ble-bridge/request/+', 'edge/stored/+', VERSION_1_STATUS_FILTER],
};

/** Rights of the services of this box, whose name is `gateway`. */
export function serviceRights(gateway: string): Readonly<Record<ServiceName, Rights>> {
  const bridge = bridgeRights(gateway);
  return {
    gateway: { publish: own(gateway, 'gateway'), subscribe: [requestFilter(gateway, 'gateway')] },
    'ble-bridge': {
      // This box's own: its outbox may hold readings that it numbered under an earlier GATEWAY_NAME.
      publish: [...bridge.publish, 'edge/+/offer/+', 'edge/+/readings/+', ...BRIDGE_OF_VERSION_1.publish],
      subscribe: [...bridge.subscribe, 'edge/+/stored/+', ...BRIDGE_OF_VERSION_1.subscribe],
    },
    forwarder: {
      // It removes the retained statuses of version 1.
      publish: [
        ...own(gateway, 'forwarder'),
        'hr/+/gap',
        'edge/+/stored/+',
        'edge/sync',
        boxDiscoveryFilter(gateway),
        ...SERVICE_NAMES.map(version1StatusTopic),
      ],
      subscribe: [
        requestFilter(gateway, 'forwarder'),
        'hr/+/bpm',
        'hr/+/gap',
        'edge/+/offer/+',
        'edge/+/readings/+',
        'edge/sync',
        'edge/source/+',
        SERVICE_STATUS_FILTER,
        VERSION_1_STATUS_FILTER,
      ],
    },
    'admin-api': {
      publish: [...own(gateway, 'admin-api'), 'edge/+/+/request/+'],
      subscribe: [
        'hr/#',
        SERVICE_STATUS_FILTER,
        'edge/+/+/metrics',
        'edge/+/+/response/+',
        personFilter(ANY_GATEWAY),
        requestFilter(gateway, 'admin-api'),
        'homeassistant/#',
      ],
    },
    'local-kinesis': { publish: own(gateway, 'local-kinesis'), subscribe: [requestFilter(gateway, 'local-kinesis')] },
  };
}

/**
 * What a user may subscribe to: the filters of users.json. Those of version 1 for statuses (`edge/+/status`, `edge/forwarder/status`)
 * cover the statuses of every gateway, whose topics have one level more.
 */
export function grantedFilters(filters: readonly string[]): string[] {
  return filters.flatMap((filter) => {
    const service = /^edge\/([^/]+)\/status$/.exec(filter)?.[1];
    return service === undefined ? [filter] : [filter, `edge/+/${service}/status`];
  });
}

const isStatusFilter = (filter: string): boolean =>
  covers(SERVICE_STATUS_FILTER, filter) || covers(VERSION_1_STATUS_FILTER, filter);

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
  if (first === '#' || first === '+')
    return 'the first level must be named: a wildcard there would reach edge/ and $SYS, which only --operator may read';
  if (first.startsWith('$')) return "$ topics are the broker's";
  if (first === 'edge' && !(kind === 'subscribe' && isStatusFilter(filter)))
    return 'edge/ is for the services; edge/+/+/status may be read';
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
