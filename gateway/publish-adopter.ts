/** The broker's port to adoption: who takes what users publish under `hr/`. */
import type { Client, PublishPacket } from 'aedes';

/** What the broker does with a client's publish. */
export interface PublishDecision {
  /** Subscribers of the live plane get the message. */
  isDelivered: boolean;
  /** Adoption writes the PUBACK or PUBREC; else the broker does, at once. */
  isAcknowledgedByUs: boolean;
}

export interface PublishAdopter {
  /** A user's client is connected. */
  connected(client: Client, user: string): void;
  disconnected(client: Client): void;
  /** Takes a publish under `hr/` of a connected user. */
  take(client: Client, packet: PublishPacket): PublishDecision;
  /** A bridge has published this. */
  bridgePublished(topic: string, payloadBytes: number): void;
}

/** Whether a topic is `hr` or below it. */
export const isUnderHr = (topic: string): boolean => topic === 'hr' || topic.startsWith('hr/');
