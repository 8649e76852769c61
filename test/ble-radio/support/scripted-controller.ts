/** An LE controller that does exactly what a test tells it, for the moments that the virtual radio cannot produce at will. H4 over TCP. */
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { eventually } from '../../support/eventually.ts';

/** Opcodes of HCI commands that noble sends. */
export const COMMAND = {
  disconnect: 0x0406,
  reset: 0x0c03,
  readLocalVersion: 0x1001,
  readAddress: 0x1009,
  readRssi: 0x1405,
  readBufferSize: 0x2002,
  setScanEnable: 0x200c,
  createConnection: 0x200d,
  cancelConnection: 0x200e,
} as const;

const COMMAND_PACKET = 1;
const ACL_PACKET = 2;
const COMMAND_DISALLOWED = 0x0c;

export interface HciCommand {
  opcode: number;
  parameters: Buffer;
}

/** What a successful command complete event returns after its status. */
const RESULTS: Readonly<Record<number, Buffer>> = {
  [COMMAND.readLocalVersion]: Buffer.from('0900000900000000', 'hex'),
  [COMMAND.readAddress]: Buffer.from('665544332211', 'hex'),
  // Packets of 251 bytes, eight at a time.
  [COMMAND.readBufferSize]: Buffer.from('fb0008', 'hex'),
  0x0c6d: Buffer.alloc(0),
  0x0c6c: Buffer.from('0100', 'hex'),
};
/** Answered with a command status event, because their result is an event of its own. */
const WITH_STATUS: ReadonlySet<number> = new Set([COMMAND.disconnect, COMMAND.createConnection]);

const addressBytes = (address: string): Buffer => Buffer.from(address.replaceAll(':', ''), 'hex').reverse();

function uint16(number: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(number);
  return bytes;
}

export class ScriptedController {
  readonly commands: HciCommand[] = [];
  /** PDUs that noble sent, by L2CAP channel. */
  readonly sent: { handle: number; channel: number; pdu: Buffer }[] = [];
  /** Called with each command; true: the test answers it. */
  onCommand: (command: HciCommand) => boolean = () => false;
  readonly port: number;
  readonly #sockets: ReadonlySet<Socket>;

  constructor(port: number, sockets: ReadonlySet<Socket>) {
    this.port = port;
    this.#sockets = sockets;
  }

  /** How many of noble's sockets use this adapter. */
  get connections(): number {
    return this.#sockets.size;
  }

  #send(...parts: readonly Buffer[]): void {
    for (const socket of this.#sockets) socket.write(Buffer.concat(parts));
  }

  event(code: number, ...parts: readonly Buffer[]): void {
    const body = Buffer.concat(parts);
    this.#send(Buffer.of(4, code, body.length), body);
  }

  /** An advertising report: 0 connectable, 2 scannable, 3 neither, 4 a scan response. */
  advertise(address: string, data: Buffer, type = 0): void {
    const head = Buffer.concat([Buffer.of(0x02, 1, type, 1), addressBytes(address), Buffer.of(data.length)]);
    this.event(0x3e, head, data, Buffer.of(0xce));
  }

  connectionComplete(address: string, { handle = 0x40, status = 0 }: { handle?: number; status?: number } = {}): void {
    const parameters = Buffer.from('280000002c0100', 'hex');
    this.event(0x3e, Buffer.of(0x01, status), uint16(handle), Buffer.of(0, 1), addressBytes(address), parameters);
  }

  disconnectionComplete(handle: number, reason = 0x16): void {
    this.event(0x05, Buffer.of(0), uint16(handle), Buffer.of(reason));
  }

  /** An L2CAP packet; `first` false: a continuation fragment. */
  acl(handle: number, body: Buffer, first = true): void {
    this.#send(Buffer.of(ACL_PACKET), uint16(handle | (first ? 0x2000 : 0x1000)), uint16(body.length), body);
  }

  att(handle: number, pdu: Buffer): void {
    this.acl(handle, Buffer.concat([uint16(pdu.length), uint16(4), pdu]));
  }

  commandsOf(opcode: number): HciCommand[] {
    return this.commands.filter((command) => command.opcode === opcode);
  }

  async received(opcode: number, count = 1): Promise<HciCommand> {
    const what = `command 0x${opcode.toString(16)}, ${count} times`;
    return await eventually(() => this.commandsOf(opcode)[count - 1], { withinMs: 5000, what });
  }

  packet(type: number, data: Buffer): void {
    if (type === ACL_PACKET) {
      const handle = data.readUInt16LE(0) & 0x0fff;
      this.sent.push({ handle, channel: data.readUInt16LE(6), pdu: data.subarray(8) });
      this.event(0x13, Buffer.of(1), uint16(handle), uint16(1));
      return;
    }
    const command = { opcode: data.readUInt16LE(0), parameters: data.subarray(3) };
    this.commands.push(command);
    if (!this.onCommand(command)) this.#answer(command);
  }

  #answer({ opcode, parameters }: HciCommand): void {
    if (WITH_STATUS.has(opcode)) this.event(0x0f, Buffer.of(0, 1), uint16(opcode));
    else if (opcode === COMMAND.readRssi) this.complete(opcode, 0, Buffer.concat([parameters.subarray(0, 2), Buffer.of(0xce)]));
    else this.complete(opcode, opcode === COMMAND.cancelConnection ? COMMAND_DISALLOWED : 0, RESULTS[opcode]);
    if (opcode === COMMAND.disconnect) this.disconnectionComplete(parameters.readUInt16LE(0));
  }

  complete(opcode: number, status: number, result: Buffer = Buffer.alloc(0)): void {
    this.event(0x0e, Buffer.of(1), uint16(opcode), Buffer.of(status), result);
  }

  /** The adapter is unplugged. */
  unplug(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}

/** Splits what noble writes into packets. */
function readPackets(socket: Socket, onPacket: (type: number, data: Buffer) => void): void {
  let received = Buffer.alloc(0);
  socket.on('data', (chunk) => {
    received = Buffer.concat([received, chunk]);
    for (;;) {
      const type = received[0];
      if (received.length < (type === COMMAND_PACKET ? 4 : 5)) return;
      const length = type === COMMAND_PACKET ? 3 + received.readUInt8(3) : 4 + received.readUInt16LE(3);
      if (received.length < 1 + length) return;
      const packet = received.subarray(1, 1 + length);
      received = received.subarray(1 + length);
      onPacket(type ?? 0, packet);
    }
  });
}

export async function startScriptedController(t: Pick<TestContext, 'after'>): Promise<ScriptedController> {
  const sockets = new Set<Socket>();
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const controller = new ScriptedController(address.port, sockets);
  server.on('connection', (socket) => {
    sockets.add(socket.setNoDelay(true));
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    readPackets(socket, (type, data) => controller.packet(type, data));
  });
  return controller;
}
