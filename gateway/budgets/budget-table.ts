/** The budgets of clients that are no services, as a table for people in SECURITY.md (`npm run docs`), with the numbers in force. */
import { SETTINGS } from '../../service/config/settings.ts';
import type { Limit } from '../breach-kinds.ts';
import {
  ABANDONED_AT_ONCE,
  ABANDONED_PER_SECOND,
  BOX_FACTOR,
  CLIENT_LIMITS,
  EMPTY_FRAMES_AT_ONCE,
  EMPTY_FRAMES_PER_SECOND,
  FRAME_BYTES,
  FRAMES_BEFORE_LOGIN,
  HELD_BYTES_MAX,
  HELD_READINGS_MAX,
  PARTY_FACTOR,
} from '../client-limits.ts';
import { WAITING_MAX, WAITING_OF_KEY } from '../login-throttle.ts';
import { RATE_LIMITS, type Resource } from './client-meter.ts';

export interface BudgetRow {
  resource: string;
  perClient: string;
  /** For all clients of one user or address. */
  perParty: string;
  forAll: string;
  action: string;
  /** Names under which a breach is counted. */
  limits: readonly Limit[];
}

const KiB = 1024;
const MiB = 1024 * KiB;
const NONE = '–';

function bytes(count: number): string {
  if (count >= MiB) return `${count / MiB} MiB`;
  return count >= KiB ? `${count / KiB} KiB` : `${count} B`;
}

const count = (value: number): string => value.toLocaleString('en-US');

function rate(resource: Resource, name: string, perSecond: number, text: (value: number) => string, action: string): BudgetRow {
  const of = (factor: number): string => `${text(perSecond * factor)}/s`;
  return {
    resource: name,
    perClient: of(1),
    perParty: of(PARTY_FACTOR),
    forAll: of(BOX_FACTOR),
    action,
    limits: [RATE_LIMITS[resource]],
  };
}

const READ_LATER = 'the client is not read until it is within its budget; ';
const afterPublishes = `${READ_LATER}after ${CLIENT_LIMITS.publishesOverMs / 1000} s without a pause it is disconnected`;
const afterRequests = `${READ_LATER}after ${CLIENT_LIMITS.requestsOverMs / 1000} s without a pause it is disconnected`;

function rateRows(): BudgetRow[] {
  const publishes = SETTINGS.MQTT_MAX_PUBLISHES_PER_SECOND.default;
  const limits = CLIENT_LIMITS;
  return [
    rate('publishes', 'PUBLISH; an acknowledgement counts a quarter', publishes, count, afterPublishes),
    rate('requests', 'SUBSCRIBE, UNSUBSCRIBE, PINGREQ', limits.requestsPerSecond, count, afterRequests),
    rate('filters', 'filters in SUBSCRIBE', limits.filtersPerSecond, count, afterRequests),
    rate('bytes', `bytes received; a WebSocket frame counts ${FRAME_BYTES} more`, limits.bytesPerSecond, bytes, afterPublishes),
    rate(
      'deliveries',
      'deliveries that its messages cause',
      publishes * limits.deliveriesPerPublish,
      count,
      `${afterPublishes}; 4 s of the rate beyond it, messages are not delivered live`,
    ),
    rate('deliveryBytes', 'bytes of these deliveries', limits.deliveryBytesPerSecond, bytes, 'as above'),
  ];
}

function memoryRows(): BudgetRow[] {
  const limits = CLIENT_LIMITS;
  const retained = SETTINGS.MQTT_MAX_RETAINED_BYTES.default;
  return [
    {
      resource: 'subscriptions',
      perClient: count(limits.subscriptions),
      perParty: count(limits.subscriptionsOfParty),
      forAll: `${count(limits.subscriptionsOfAll)}, ${bytes(limits.memoryOfSubscriptions)}`,
      action: 'SUBACK 0x80',
      limits: ['subscriptions', 'subscriptions_of_party', 'subscriptions_of_all'],
    },
    {
      resource: 'what waits for a client that does not read',
      perClient: bytes(limits.backlogBytes),
      perParty: NONE,
      forAll: bytes(limits.memoryOfBacklogs),
      action:
        'the client is disconnected, beyond the limit for all the one with the most; after MQTT_SLOW_SUBSCRIBER_MS without reading too',
      limits: ['backlog', 'slow_subscriber', 'memory'],
    },
    {
      resource: 'packets that are not complete, or wait for their budget',
      perClient: 'MQTT_MAX_PACKET_BYTES',
      perParty: NONE,
      forAll: bytes(limits.memoryOfIncoming),
      action: 'the client with the most is disconnected',
      limits: ['memory', 'packet_bytes'],
    },
    {
      resource: 'publishes whose PUBACK waits for storage',
      perClient: `${count(HELD_READINGS_MAX)}, ${bytes(HELD_BYTES_MAX)}`,
      perParty: NONE,
      forAll: bytes(limits.memoryOfHeld),
      action: 'the client is not read; after 30 s without progress it is disconnected',
      limits: [],
    },
    {
      resource: 'retained messages',
      perClient: NONE,
      perParty: NONE,
      forAll: `${count(limits.retainedTopics)} topics, ${bytes(retained)} (MQTT_MAX_RETAINED_BYTES)`,
      action: 'the connection is closed; messages of services have a budget of their own',
      limits: ['retained', 'retained_bytes'],
    },
    {
      resource: 'all of these together',
      perClient: NONE,
      perParty: NONE,
      forAll: bytes(limits.memoryOfAll),
      action: 'as for the use that grows',
      limits: ['memory'],
    },
    {
      resource: 'retained messages sent to new subscriptions',
      perClient: `the same filter again within ${limits.replayAgainMs / 1000} s: none`,
      perParty: 'in turn',
      forAll: `${count(limits.replaysPerSecond)}/s, ${bytes(limits.replayBytesPerSecond)}/s`,
      action: 'they are sent later',
      limits: ['replay_again'],
    },
  ];
}

function connectionRows(): BudgetRow[] {
  const limits = CLIENT_LIMITS;
  const connections = SETTINGS.MQTT_MAX_CONNECTIONS.default;
  const emptyFrames = `${count(EMPTY_FRAMES_PER_SECOND)}/s, ${count(EMPTY_FRAMES_AT_ONCE)} at once`;
  const ofAddress = connections * limits.connectionsShareOfAddress;
  return [
    {
      resource: 'connections',
      perClient: NONE,
      perParty: `${count(ofAddress)} of an address, of them ${count(ofAddress * (1 - limits.connectionsShareOfUsers))} anonymous`,
      forAll: `${count(connections)} (MQTT_MAX_CONNECTIONS)`,
      action: 'the new connection is closed, or gets CONNACK 3',
      limits: ['connections', 'connections_per_address', 'connections_of_anonymous'],
    },
    {
      resource: 'new connections',
      perClient: NONE,
      perParty: `${count(limits.connectsPerSecond)}/s, ${count(limits.connectsPerSecond * limits.connectBurst)} at once`,
      forAll: `${count(limits.connectsPerSecondOfAll)}/s`,
      action: 'the new connection is closed',
      limits: ['connect_rate'],
    },
    {
      resource: 'connections that the client closes before its login',
      perClient: NONE,
      perParty: `${count(ABANDONED_PER_SECOND)}/s, ${count(ABANDONED_AT_ONCE)} at once`,
      forAll: NONE,
      action: 'health names the address',
      limits: ['connect_abandoned'],
    },
    {
      resource: 'connections without a CONNECT, TLS and WebSocket handshakes included',
      perClient: `${limits.connectTimeoutMs / 1000} s, ${bytes(limits.requestBytes)}`,
      perParty: NONE,
      forAll: `${count(limits.halfOpen)} of a listener`,
      action: 'the oldest one of the address with the most is closed',
      limits: ['connect_timeout', 'half_open', 'tls_handshake'],
    },
    {
      resource: 'WebSocket pings, pongs and messages without data',
      perClient: `${emptyFrames}; before the login ${count(FRAMES_BEFORE_LOGIN)} frames in all`,
      perParty: NONE,
      forAll: NONE,
      action: 'the client is disconnected',
      limits: ['websocket_frames'],
    },
    {
      resource: 'passwords that wait to be checked, one at a time',
      perClient: NONE,
      perParty: `${WAITING_OF_KEY} of an address and user`,
      forAll: count(WAITING_MAX),
      action: 'CONNACK 5 without a check; a password that was right before is accepted at once',
      limits: ['login'],
    },
  ];
}

export const BUDGET_ROWS: readonly BudgetRow[] = [...rateRows(), ...memoryRows(), ...connectionRows()];

/** The table in SECURITY.md. */
export function budgetsTable(): string {
  const rows = BUDGET_ROWS.map(({ resource, perClient, perParty, forAll, action, limits }) => {
    const names = limits.map((name) => `\`${name}\``).join(', ');
    return `| ${[resource, perClient, perParty, forAll, action, names].join(' | ')} |`;
  });
  return [
    '| resource | one client | all clients of one user or address | all clients | beyond it | counted as |',
    '|---|---|---|---|---|---|',
    ...rows,
  ].join('\n');
}
