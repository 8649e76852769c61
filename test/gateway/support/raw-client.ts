/** Raw MQTT packets, so that tests can do what client libraries do not allow. */
import { connect, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { generate, parser, type IConnectPacket, type Packet } from 'mqtt-packet';
import { eventually } from '../../support/eventually.ts';

export type ConnectFields = Partial<Omit<IConnectPacket, 'cmd'>>;

let clients = 0;

export class RawClient {
  readonly socket: Socket;
  /** Everything that was received, oldest first. */
  readonly packets: Packet[] = [];
  closed = false;

  constructor(socket: Socket) {
    this.socket = socket;
    const parse = parser({ protocolVersion: 4 });
    parse.on('packet', (packet) => void this.packets.push(packet));
    socket.on('data', (chunk) => void parse.parse(chunk));
    socket.on('error', () => {});
    socket.on('close', () => {
      this.closed = true;
    });
  }

  send(packet: Packet): void {
    this.socket.write(generate(packet));
  }

  sendBytes(bytes: Buffer | Uint8Array): void {
    this.socket.write(bytes);
  }

  /** Removes and returns the next packet of this kind. Fails if the connection closes before. */
  async next<C extends Packet['cmd']>(cmd: C, withinMs = 20_000): Promise<Extract<Packet, { cmd: C }>> {
    return await eventually(
      () => {
        const index = this.packets.findIndex((packet) => packet.cmd === cmd);
        if (index >= 0) return this.packets.splice(index, 1)[0] as Extract<Packet, { cmd: C }>;
        if (this.closed) throw new Error(`closed before ${cmd}`);
        return undefined;
      },
      { withinMs, everyMs: 5, what: `a ${cmd}` },
    );
  }

  /** Sends CONNECT. Returns the return code of the CONNACK, or undefined if the connection was closed instead. */
  async connect(fields: ConnectFields = {}): Promise<number | undefined> {
    clients += 1;
    this.send({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 4,
      clean: true,
      keepalive: 0,
      clientId: `raw-${process.pid}-${clients}`,
      ...fields,
    });
    await eventually(() => this.closed || this.packets.some(({ cmd }) => cmd === 'connack'), { everyMs: 5 });
    const index = this.packets.findIndex(({ cmd }) => cmd === 'connack');
    if (index < 0) return undefined;
    return (this.packets.splice(index, 1)[0] as { returnCode?: number }).returnCode;
  }

  /** Returns the granted QoS, or 128. */
  async subscribe(topic: string, qos: 0 | 1 | 2 = 0): Promise<number> {
    const messageId = 1 + Math.floor(Math.random() * 65_000);
    this.send({ cmd: 'subscribe', messageId, subscriptions: [{ topic, qos }] });
    return (await this.next('suback')).granted[0] as number;
  }

  publish(
    topic: string,
    payload: string | Buffer,
    options: { qos?: 0 | 1 | 2; retain?: boolean; messageId?: number } = {},
  ): void {
    const qos = options.qos ?? 0;
    this.send({
      cmd: 'publish',
      topic,
      payload,
      qos,
      dup: false,
      retain: options.retain ?? false,
      ...(qos > 0 ? { messageId: options.messageId ?? 1 } : {}),
    });
  }

  /** Publishes with QoS 1 and waits. Returns false if the connection was closed instead of a PUBACK. */
  async publishAcknowledged(topic: string, payload: string | Buffer, retain = false): Promise<boolean> {
    const messageId = 1 + Math.floor(Math.random() * 65_000);
    this.publish(topic, payload, { qos: 1, retain, messageId });
    const acknowledged = (): boolean => this.packets.some((packet) => packet.cmd === 'puback' && packet.messageId === messageId);
    await eventually(() => acknowledged() || this.closed, { everyMs: 5, what: 'a PUBACK or the end of the connection' });
    return acknowledged();
  }

  /** Resolves when the broker has handled everything that was sent before. */
  async settled(): Promise<void> {
    this.send({ cmd: 'pingreq' });
    await this.next('pingresp');
  }

  messages(): { topic: string; payload: string; retain: boolean; qos: number }[] {
    return this.packets.flatMap((packet) =>
      packet.cmd === 'publish'
        ? [{ topic: packet.topic, payload: packet.payload.toString(), retain: packet.retain, qos: packet.qos }]
        : [],
    );
  }

  async ended(): Promise<void> {
    await eventually(() => this.closed, { everyMs: 5, what: 'the end of the connection' });
  }

  /** Breaks the connection without DISCONNECT. */
  destroy(): void {
    this.socket.destroy();
  }
}

/** A TCP connection to a broker, without CONNECT. */
export async function rawClient(t: Pick<TestContext, 'after'>, port: number): Promise<RawClient> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  const client = new RawClient(socket);
  t.after(() => void socket.destroy());
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });
  return client;
}

/** A connected client; fails if it is refused. */
export async function connected(t: Pick<TestContext, 'after'>, port: number, fields: ConnectFields = {}): Promise<RawClient> {
  const client = await rawClient(t, port);
  const code = await client.connect(fields);
  if (code !== 0) throw new Error(`CONNACK ${String(code)}`);
  return client;
}
