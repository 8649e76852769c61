/** A small GATT server that answers as the Core Specification demands (volume 3 part F, 3.4): the peripheral's side of scripted links. */
import { encodeError } from '../../../ble-bridge/radio/att/att-protocol.ts';

interface Attribute {
  handle: number;
  type: Buffer;
  value: Buffer;
  /** Last handle of the service that this attribute declares. */
  groupEnd?: number;
}

export interface TableCharacteristic {
  uuid: string;
  /** Bit field of the declaration: read 0x02, write 0x08, notify 0x10, indicate 0x20. */
  properties: number;
  value?: Buffer;
}

export interface TableService {
  uuid: string;
  characteristics: readonly TableCharacteristic[];
}

const ERROR = { invalidHandle: 0x01, requestNotSupported: 0x06, attributeNotFound: 0x0a } as const;
const PRIMARY_SERVICE = Buffer.of(0x00, 0x28);
const CHARACTERISTIC = Buffer.of(0x03, 0x28);
const CONFIGURATION = Buffer.of(0x02, 0x29);

/** A UUID as it is sent. */
export const uuidBytes = (uuid: string): Buffer => Buffer.from(uuid.replaceAll('-', ''), 'hex').reverse();

function uint16(...numbers: readonly number[]): Buffer {
  const bytes = Buffer.alloc(2 * numbers.length);
  for (const [index, number] of numbers.entries()) bytes.writeUInt16LE(number, 2 * index);
  return bytes;
}

/** What a common strap has: a heart rate that notifies, body location, control point, battery, and texts longer than one answer. */
export const STRAP_SERVICES: readonly TableService[] = [
  { uuid: '1800', characteristics: [{ uuid: '2a00', properties: 0x02, value: Buffer.from('Strap') }] },
  { uuid: '1801', characteristics: [{ uuid: '2a05', properties: 0x20 }] },
  {
    uuid: '180d',
    characteristics: [
      { uuid: '2a37', properties: 0x10 },
      { uuid: '2a38', properties: 0x02, value: Buffer.of(1) },
      { uuid: '2a39', properties: 0x08 },
    ],
  },
  {
    uuid: '6e400001-b5a3-f393-e0a9-e50e24dcca9e',
    characteristics: [{ uuid: '6e400002-b5a3-f393-e0a9-e50e24dcca9e', properties: 0x12 }],
  },
  { uuid: '180f', characteristics: [{ uuid: '2a19', properties: 0x12, value: Buffer.of(80) }] },
  {
    uuid: '180a',
    characteristics: [
      { uuid: '2a29', properties: 0x02, value: Buffer.from('Manufacturer '.repeat(5)) },
      { uuid: '2a24', properties: 0x02, value: Buffer.from('Model') },
      { uuid: '2a26', properties: 0x02, value: Buffer.alloc(22, 0x31) },
    ],
  },
];

export class GattTable {
  readonly #attributes: Attribute[] = [];
  readonly #mtu: number;

  constructor(services: readonly TableService[], mtu = 23) {
    this.#mtu = mtu;
    for (const { uuid, characteristics } of services) {
      const service = this.#add(PRIMARY_SERVICE, uuidBytes(uuid));
      for (const { uuid: type, properties, value = Buffer.alloc(0) } of characteristics) {
        const handle = this.#attributes.length + 2;
        this.#add(CHARACTERISTIC, Buffer.concat([Buffer.of(properties), uint16(handle), uuidBytes(type)]));
        this.#add(uuidBytes(type), value);
        if ((properties & 0x30) !== 0) this.#add(CONFIGURATION, uint16(0));
      }
      service.groupEnd = this.#attributes.length;
    }
  }

  #add(type: Buffer, value: Buffer): Attribute {
    const attribute: Attribute = { handle: this.#attributes.length + 1, type, value };
    this.#attributes.push(attribute);
    return attribute;
  }

  /** The handle of a characteristic's value. */
  handleOf(uuid: string): number {
    const found = this.#attributes.find(({ type }) => type.equals(uuidBytes(uuid)));
    if (found === undefined) throw new Error(`no ${uuid} in the table`);
    return found.handle;
  }

  /** The answer to a request. */
  answer(request: Buffer): Buffer {
    const opcode = request[0] ?? 0;
    const first = request.length >= 3 ? request.readUInt16LE(1) : 0;
    const refuse = (code: number): Buffer => encodeError(opcode, first, code);
    const attribute = this.#attributes[first - 1];
    switch (opcode) {
      case 0x02:
        return Buffer.concat([Buffer.of(0x03), uint16(this.#mtu)]);
      case 0x04:
      case 0x08:
      case 0x10:
        return this.#list(request) ?? refuse(ERROR.attributeNotFound);
      case 0x0a:
        return attribute === undefined ? refuse(ERROR.invalidHandle) : this.#part(0x0b, attribute.value);
      case 0x0c:
        return attribute === undefined
          ? refuse(ERROR.invalidHandle)
          : this.#part(0x0d, attribute.value.subarray(request.readUInt16LE(3)));
      case 0x12:
        return Buffer.of(0x13);
      default:
        return refuse(ERROR.requestNotSupported);
    }
  }

  #part(opcode: number, value: Buffer): Buffer {
    return Buffer.concat([Buffer.of(opcode), value.subarray(0, this.#mtu - 1)]);
  }

  /** Entries of one length, as many as fit; undefined without any. */
  #list(request: Buffer): Buffer | undefined {
    const opcode = request.readUInt8(0);
    const [start, end] = [request.readUInt16LE(1), request.readUInt16LE(3)];
    const wanted = request.subarray(5);
    const entries = this.#attributes
      .filter(({ handle, type }) => handle >= start && handle <= end && (opcode === 0x04 || type.equals(wanted)))
      .map(({ handle, type, value, groupEnd = handle }) => {
        if (opcode === 0x04) return Buffer.concat([uint16(handle), type]);
        if (opcode === 0x10) return Buffer.concat([uint16(handle, groupEnd), value]);
        // A longer value is cut (Core, volume 3 part F, 3.4.4.2).
        return Buffer.concat([uint16(handle), value.subarray(0, Math.min(this.#mtu - 4, 253))]);
      });
    const length = entries[0]?.length;
    if (length === undefined) return undefined;
    const different = entries.findIndex((entry) => entry.length !== length);
    const fit = Math.floor((this.#mtu - 2) / length);
    const same = entries.slice(0, Math.min(fit, different === -1 ? entries.length : different));
    const format = opcode === 0x04 ? Number(length !== 4) + 1 : length;
    return Buffer.concat([Buffer.of(opcode + 1, format), ...same]);
  }
}
