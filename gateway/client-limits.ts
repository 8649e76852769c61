/**
 * Budgets of clients that are no services: of one client, and of the whole box, because limits per client do not add up to a limit for the
 * box. None of them is a setting: no installation has needed to change one. They are options only so that tests reach them quickly. The
 * table in SECURITY.md is generated from them (gateway/budgets/budget-table.ts).
 */
const KiB = 1024;
const MiB = 1024 * KiB;

export interface ClientLimits {
  /** Longest topic or filter, in bytes of UTF-8. */
  topicBytes: number;
  topicLevels: number;
  /** Subscriptions of one client, of all clients of one user or address, and of all clients. */
  subscriptions: number;
  subscriptionsOfParty: number;
  subscriptionsOfAll: number;
  /** Payload of a will; a CONNECT with a larger one is refused. */
  willBytes: number;
  /** Retained topics of all clients together, and of all services. */
  retainedTopics: number;
  retainedTopicsOfServices: number;
  /** Share of MQTT_MAX_CONNECTIONS that one address may hold; behind Docker all clients share one address. */
  connectionsShareOfAddress: number;
  /** Share of an address's connections that anonymous clients leave to users. */
  connectionsShareOfUsers: number;
  /** Connections per second from one address, and from all; a second's worth of `connectBurst` may come at once. */
  connectsPerSecond: number;
  connectsPerSecondOfAll: number;
  connectBurst: number;
  /** Connections of one listener without a CONNECT: TLS and WebSocket handshakes are not complete, or nothing was sent. */
  halfOpen: number;
  /** Bytes that may wait for a slow subscriber before it is disconnected. */
  backlogBytes: number;
  /** Time within which a connection must send its CONNECT. */
  connectTimeoutMs: number;
  /** Packets other than PUBLISH of a client that has not sent its CONNECT, SUBSCRIBE and UNSUBSCRIBE included later. */
  requestBytes: number;
  /** SUBSCRIBE, UNSUBSCRIBE, PINGREQ and other requests per second of one client; filters in them. */
  requestsPerSecond: number;
  filtersPerSecond: number;
  /** Bytes per second that one client may send. */
  bytesPerSecond: number;
  /** Deliveries that the messages of one client cause: messages as a multiple of MQTT_MAX_PUBLISHES_PER_SECOND, and bytes per second. */
  deliveriesPerPublish: number;
  deliveryBytesPerSecond: number;
  /** Retained messages that are sent to new subscriptions, of all clients together: messages and bytes per second. */
  replaysPerSecond: number;
  replayBytesPerSecond: number;
  /** A filter that a client subscribes to again replays no retained messages within this time. */
  replayAgainMs: number;
  /** A client that was over its rate of publishes, or of anything else, for so long without a pause is disconnected. */
  publishesOverMs: number;
  requestsOverMs: number;
  /** Memory of the box for all clients that are no services, by use; and all of it together. */
  memoryOfBacklogs: number;
  memoryOfIncoming: number;
  memoryOfSubscriptions: number;
  memoryOfHeld: number;
  memoryOfAll: number;
}

/** Readings of one client whose PUBACK waits until they are stored, and their bytes. */
export const HELD_READINGS_MAX = 500;
export const HELD_BYTES_MAX = 1024 * 1024;

/** WebSocket frames without data of one client. Some libraries ping every few seconds. */
export const EMPTY_FRAMES_PER_SECOND = 10;
export const EMPTY_FRAMES_AT_ONCE = 100;
/** What a WebSocket frame costs of the bytes that a client may send, beside its own: it takes as long to handle as so many bytes. */
export const FRAME_BYTES = 256;
/** Frames before the login: a CONNECT is one, or a few. */
export const FRAMES_BEFORE_LOGIN = 500;

/** Connections of one address that its clients close before they have logged in. */
export const ABANDONED_PER_SECOND = 2;
export const ABANDONED_AT_ONCE = 20;

/** What all clients of one user or address may do, as a multiple of one client; and all clients of the box. */
export const PARTY_FACTOR = 2;
export const BOX_FACTOR = 4;
/** The bridge of another box may do so much more than another client, and has no part in what all clients share. */
export const BRIDGE_FACTOR = 10;

export const CLIENT_LIMITS: Readonly<ClientLimits> = {
  topicBytes: 256,
  topicLevels: 16,
  subscriptions: 100,
  subscriptionsOfParty: 10_000,
  subscriptionsOfAll: 20_000,
  willBytes: 16 * KiB,
  retainedTopics: 5000,
  retainedTopicsOfServices: 20_000,
  connectionsShareOfAddress: 0.6,
  connectionsShareOfUsers: 0.05,
  connectsPerSecond: 100,
  connectsPerSecondOfAll: 200,
  connectBurst: 10,
  halfOpen: 100,
  backlogBytes: 8 * MiB,
  connectTimeoutMs: 5000,
  requestBytes: 64 * KiB,
  requestsPerSecond: 250,
  filtersPerSecond: 500,
  bytesPerSecond: 4 * MiB,
  deliveriesPerPublish: 5,
  deliveryBytesPerSecond: 16 * MiB,
  replaysPerSecond: 5000,
  replayBytesPerSecond: 16 * MiB,
  replayAgainMs: 10_000,
  publishesOverMs: 60_000,
  requestsOverMs: 10_000,
  memoryOfBacklogs: 64 * MiB,
  memoryOfIncoming: 32 * MiB,
  memoryOfSubscriptions: 20 * MiB,
  memoryOfHeld: 64 * MiB,
  memoryOfAll: 128 * MiB,
};
