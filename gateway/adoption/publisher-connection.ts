/** The connection of another client, as adoption needs it: acknowledge a publish later, keep an unread connection alive, close it. */
import type { Client } from 'aedes';
import { writeToStream } from 'mqtt-packet';
import { GuardedConnection } from '../guarded-connection.ts';
import type { KeepaliveState } from '../keepalive.ts';

export class PublisherConnection {
  readonly client: Client;
  #pingedAtMs = Number.NEGATIVE_INFINITY;

  constructor(client: Client) {
    this.client = client;
  }

  get isOpen(): boolean {
    const { client } = this;
    // Aedes handles packets between its CONNACK and `connected`.
    return (client.connected || client.connecting) && !client.closed && !client.conn.destroyed;
  }

  /** Since when the client is not read because its window is full. */
  get unreadSinceMs(): number | undefined {
    return this.client.conn instanceof GuardedConnection ? this.client.conn.unreadSinceMs : undefined;
  }

  /** Reads on, if it was stopped by its window. */
  readOn(): void {
    if (this.client.conn instanceof GuardedConnection) this.client.conn.readOn();
  }

  /** Writes the PUBACK of a QoS 1 publish, the PUBREC of QoS 2; false if the connection is gone. */
  acknowledge(messageId: number, qos: 1 | 2): boolean {
    if (!this.isOpen) return false;
    writeToStream({ cmd: qos === 1 ? 'puback' : 'pubrec', messageId }, this.client.conn);
    return true;
  }

  /**
   * Keeps a connection that is not read alive: Aedes' timer starts again, and the client gets the PINGRESP that it may be waiting for.
   * Three times within the client's keepalive; call it more often.
   */
  keepAlive(nowMs: number): void {
    const state = this.client as Client & KeepaliveState;
    const intervalMs = state._keepaliveInterval ?? -1;
    if (!this.isOpen || intervalMs <= 0 || nowMs - this.#pingedAtMs < intervalMs / 4.5) return;
    this.#pingedAtMs = nowMs;
    state._keepaliveTimer?.refresh();
    writeToStream({ cmd: 'pingresp' }, this.client.conn);
  }

  close(): void {
    this.client.close();
  }
}
