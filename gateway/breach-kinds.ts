/**
 * Limits that clients can break, by the name under which a breach is counted: what the log and the check `client budgets` say of it. Each
 * says what happened, with the client as its subject, and what to do.
 */
export interface BreachKind {
  what: string;
  hint: string;
}

const SLOWER = 'let it send less, or remove its user or block its address if it attacks';
const MORE_CLIENTS = 'close connections that nobody needs, or raise MQTT_MAX_CONNECTIONS';
const BLOCK = 'block its address if it attacks';
const SHORTER = 'shorten it';
const READ_FASTER = 'let it read faster or subscribe to less';
const RIGHTS = 'see `users list` for its rights';

export const BREACH_KINDS = {
  packet_bytes: {
    what: 'sent a packet that is too large',
    hint: 'send smaller ones, or raise MQTT_MAX_PACKET_BYTES; before the login and in a SUBSCRIBE 64 KiB are the limit',
  },
  connections: { what: 'was refused, because all connections of the broker are in use', hint: MORE_CLIENTS },
  connections_per_address: { what: 'was refused a connection, because it has too many', hint: MORE_CLIENTS },
  connections_of_anonymous: {
    what: 'was refused an anonymous connection, because it has too many',
    hint: 'let its clients log in as users, or close connections that nobody needs',
  },
  connect_rate: { what: 'opens connections too fast', hint: `let its clients wait before they connect again; ${BLOCK}` },
  connect_abandoned: {
    what: 'opens connections, and closes them before it logs in',
    hint: `check what connects: a probe needs one a second at most; ${BLOCK}`,
  },
  connect_timeout: { what: 'opened a connection and did not send its CONNECT in time', hint: `check what connects; ${BLOCK}` },
  half_open: {
    what: 'has many connections without a login, and one of them was closed to make room',
    hint: `check what connects; ${BLOCK}`,
  },
  tls_handshake: {
    what: 'did not complete a TLS handshake',
    hint: 'check that it uses TLS on this port, and trusts the certificate and its name',
  },
  login: { what: 'was refused a login', hint: `check its name and password; ${BLOCK}` },
  will_right: {
    what: 'was refused, because it has no right to the topic of its will',
    hint: `remove the will, or grant the topic with \`users add\`; ${RIGHTS}`,
  },
  will_reading: {
    what: 'was refused, because its will is under hr/, where a will would be a reading',
    hint: 'remove the will, or give it another topic',
  },
  will_bytes: { what: 'was refused, because its will is larger than 16 KiB', hint: SHORTER },
  client_id_bytes: { what: 'was refused, because its client id is too long', hint: SHORTER },
  client_id_taken: {
    what: 'was refused, because the client of another user has its client id',
    hint: 'give each client an id of its own',
  },
  subscribe_right: {
    what: 'was refused a subscription, because it has no right to this filter',
    hint: `let it subscribe to what it may read; ${RIGHTS}`,
  },
  subscriptions: { what: 'was refused a subscription, because the client has too many', hint: 'use wildcards' },
  subscriptions_of_party: {
    what: 'was refused a subscription, because all its clients together have too many',
    hint: 'use wildcards, or fewer clients',
  },
  subscriptions_of_all: {
    what: 'was refused a subscription, because all clients of the broker together have too many',
    hint: 'use wildcards, or fewer clients; remove the user that has most of them',
  },
  publish_right: {
    what: 'was disconnected, because it has no right to publish this topic',
    hint: `grant it with \`users add\`, or correct the topic; ${RIGHTS}`,
  },
  retained: {
    what: 'may keep no more topics as retained messages',
    hint: 'publish without the retain flag, or clear topics with an empty retained message',
  },
  retained_bytes: {
    what: 'may keep no more bytes as retained messages',
    hint: 'publish without the retain flag, clear topics with an empty retained message, or raise MQTT_MAX_RETAINED_BYTES',
  },
  inflight_qos2: {
    what: 'was disconnected, because it began too many messages with QoS 2 and completed none of them',
    hint: 'let it answer each PUBREC with a PUBREL',
  },
  protocol: {
    what: 'was disconnected, because it does not speak MQTT 3.1.1',
    hint: 'check the port: TLS belongs on the port for TLS, WebSocket on that for WebSocket',
  },
  topic_bytes: { what: 'uses a topic that is longer than 256 bytes', hint: SHORTER },
  topic_levels: { what: 'uses a topic with more than 16 levels', hint: SHORTER },
  null_character: {
    what: 'was disconnected, because a name or topic has the character U+0000',
    hint: 'correct the client: MQTT does not allow it',
  },
  surrogate: {
    what: 'was disconnected, because a name or topic has a lone surrogate',
    hint: 'correct the client: MQTT wants UTF-8',
  },
  publish_rate: {
    what: 'publishes faster than its budget, and has to wait',
    hint: `${SLOWER}; MQTT_MAX_PUBLISHES_PER_SECOND is the limit`,
  },
  byte_rate: { what: 'sends more bytes than its budget, and has to wait', hint: SLOWER },
  delivery_rate: {
    what: 'causes more deliveries than its budget, and has to wait',
    hint: `${SLOWER}; fewer subscribers of its topics help as well`,
  },
  delivery_byte_rate: {
    what: 'causes more bytes of deliveries than its budget, and has to wait',
    hint: `${SLOWER}; fewer subscribers of its topics help as well`,
  },
  request_rate: { what: 'sends SUBSCRIBE, UNSUBSCRIBE or PINGREQ faster than its budget, and has to wait', hint: SLOWER },
  filter_rate: { what: 'subscribes faster than its budget, and has to wait', hint: SLOWER },
  over_budget: { what: 'was disconnected, because it was over its budget all the time', hint: SLOWER },
  websocket_frames: {
    what: 'was disconnected, because it sends WebSocket frames without data, or hundreds before its login',
    hint: 'let it send pings less often, as MQTT has its own, and a packet as one message',
  },
  slow_subscriber: { what: 'was disconnected, because it does not read what it subscribed to', hint: READ_FASTER },
  backlog: { what: 'was disconnected, because it reads more slowly than messages arrive', hint: READ_FASTER },
  memory: {
    what: 'was disconnected, because it used most of the memory that all clients share',
    hint: `${READ_FASTER}; let it send its packets to the end`,
  },
  service_backlog: {
    what: 'does not read: messages to it are dropped, and sent again if they must not be lost',
    hint: 'see this service in /health',
  },
  replay_again: {
    what: 'subscribed to the same filter again, which sends its retained messages only once in 10 s',
    hint: 'let it subscribe once for each connection',
  },
  origin: {
    what: 'was refused a WebSocket, because a page of another site asks for it',
    hint: 'add the host of the page to MQTT_ALLOWED_HOSTS if it is yours',
  },
} as const satisfies Readonly<Record<string, BreachKind>>;

/** The name under which a breach is counted. */
export type Limit = keyof typeof BREACH_KINDS;

/** What happened and what to do, as the rest of a sentence about the client. `reason`: why, if that is known. */
export function breachText(limit: Limit, reason?: string): string {
  const { what, hint } = BREACH_KINDS[limit];
  return `${what}${reason === undefined ? '' : ` (${reason})`}; ${hint}`;
}
