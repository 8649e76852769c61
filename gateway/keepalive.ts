/**
 * Aedes closes a connection when its keepalive timer fires (1.5 × the keepalive after the last packet, MQTT 3.1.1 section 3.1.2.10). After
 * a stall of the event loop, timers fire before sockets are read, and the client's PINGREQ may be waiting in the socket. So what has
 * arrived is read before the connection is closed, and a client that is not read on purpose is not closed for its silence.
 */
import type { Client } from 'aedes';
import { GuardedConnection } from './guarded-connection.ts';

/** What Aedes 1.2 keeps of a client's keepalive; 1.5 × the keepalive + 1 ms, -1 without one. */
export interface KeepaliveState {
  _keepaliveInterval?: number;
  _keepaliveTimer?: NodeJS.Timeout | null;
}

/** Replaces the keepalive timer of a client that Aedes has just registered. Aedes refreshes it at each packet, and clears it. */
export function readBeforeKeepaliveTimeout(client: Client): void {
  const state = client as Client & KeepaliveState;
  const { conn } = client;
  const intervalMs = state._keepaliveInterval ?? -1;
  if (!(conn instanceof GuardedConnection) || intervalMs <= 0) return;
  clearTimeout(state._keepaliveTimer ?? undefined);
  const timer = setTimeout(() => {
    const { receivedBytes } = conn;
    // Sockets are read between timers and immediates.
    setImmediate(() => {
      if (client.closed) return;
      if (conn.receivedBytes > receivedBytes || conn.isHeldBack) timer.refresh();
      else client.emit('error', new Error('keep alive timeout'));
    });
  }, intervalMs);
  state._keepaliveTimer = timer;
}
