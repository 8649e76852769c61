/** Limits of every client that no installation has needed to change. They are options only so that tests reach them quickly. */
export interface ClientLimits {
  /** Longest topic or filter, in bytes of UTF-8. */
  topicBytes: number;
  topicLevels: number;
  /** Subscriptions of one client. */
  subscriptions: number;
  /** Payload of a will; a CONNECT with a larger one is refused. */
  willBytes: number;
  /** Retained topics of all clients together. */
  retainedTopics: number;
  /** Share of MQTT_MAX_CONNECTIONS that one address may hold; behind Docker all clients share one address. */
  connectionsShareOfAddress: number;
  /** Bytes that may wait for a slow subscriber before it is disconnected. */
  backlogBytes: number;
  /** Time within which a connection must send its CONNECT. */
  connectTimeoutMs: number;
}

export const CLIENT_LIMITS: Readonly<ClientLimits> = {
  topicBytes: 256,
  topicLevels: 16,
  subscriptions: 100,
  willBytes: 16 * 1024,
  retainedTopics: 5000,
  connectionsShareOfAddress: 0.6,
  backlogBytes: 8 * 1024 * 1024,
  connectTimeoutMs: 5000,
};
