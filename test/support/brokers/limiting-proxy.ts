/**
 * Stands in front of a broker and has the limits of others: it ends a connection that subscribes to more than 8 filters at once (AWS IoT
 * Core), swallows publishes over a size without a word (`message_size_limit` of Mosquitto), or replaces client ids by names
 * (`use_username_as_clientid`).
 */
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { generate, parser, type Packet } from 'mqtt-packet';

export interface Limits {
  filtersMax?: number;
  publishBytesMax?: number;
  clientIdIsUsername?: boolean;
}

export interface LimitingProxy {
  port: number;
  /** Publishes that were swallowed. */
  readonly swallowed: number;
}

export async function startLimitingProxy(
  t: Pick<TestContext, 'after'>,
  brokerPort: number,
  limits: Limits,
): Promise<LimitingProxy> {
  const sockets = new Set<Socket>();
  let swallowed = 0;
  const passes = (packet: Packet): boolean => {
    if (packet.cmd !== 'publish' || limits.publishBytesMax === undefined || packet.payload.length <= limits.publishBytesMax)
      return true;
    swallowed += 1;
    return false;
  };
  const server: Server = createServer((client) => {
    const upstream = connect(brokerPort, '127.0.0.1');
    const both = [client, upstream];
    for (const socket of both) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        sockets.delete(socket);
        for (const each of both) each.destroy();
      });
    }
    const read = parser({ protocolVersion: 4 });
    read.on('packet', (packet) => {
      if (packet.cmd === 'connect' && limits.clientIdIsUsername === true && packet.username !== undefined)
        packet.clientId = packet.username;
      if (packet.cmd === 'subscribe' && packet.subscriptions.length > (limits.filtersMax ?? Number.POSITIVE_INFINITY))
        client.destroy();
      else if (passes(packet)) upstream.write(generate(packet, { protocolVersion: 4 }));
    });
    read.on('error', () => client.destroy());
    client.on('data', (chunk: Buffer) => void read.parse(chunk));
    upstream.pipe(client);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  });
  return {
    port: (server.address() as AddressInfo).port,
    get swallowed() {
      return swallowed;
    },
  };
}
