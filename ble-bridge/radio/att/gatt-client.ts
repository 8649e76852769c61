/**
 * Discovers, reads and subscribes on one ATT bearer by the rules of the Core Specification (volume 3 part G, 4). Handles have to
 * ascend from answer to answer; a peripheral whose answers do not is not asked for more, so that no discovery is endless.
 */
import { RadioError } from '../radio-error.ts';
import { uuidOfBytes } from '../uuid.ts';
import type { AttClient } from './att-client.ts';
import {
  ATT_ERROR,
  encodeFindInformation,
  encodeRead,
  encodeReadBlob,
  encodeReadByGroupType,
  encodeReadByType,
  encodeWrite,
  entriesOf,
} from './att-protocol.ts';

const PRIMARY_SERVICE = 0x2800;
const CHARACTERISTIC = 0x2803;
const CLIENT_CONFIGURATION = 0x2902;
const CLIENT_CONFIGURATION_UUID = '2902';
const HANDLE_MAX = 0xffff;
/** Longest attribute value (Core, volume 3 part F, 3.2.9). */
const VALUE_MAX = 512;
/** Most bytes of a value in an answer to a read by type: its length has to fit into one byte, with the handle. */
const READ_BY_TYPE_MAX = 253;

const PROPERTY = { read: 0x02, notify: 0x10, indicate: 0x20 } as const;

export interface GattService {
  uuid: string;
  start: number;
  end: number;
}

export interface GattCharacteristic {
  uuid: string;
  /** Handle of its value. */
  value: number;
  /** Last handle that can hold a descriptor of it. */
  end: number;
  readable: boolean;
  /** Notifies or indicates. */
  notifies: boolean;
  /** Indicates, and does not notify. */
  indicatesOnly: boolean;
}

const isRefusal = (error: unknown): error is RadioError => error instanceof RadioError && error.code === 'refused';
const isBadAnswer = (error: unknown): boolean => error instanceof RadioError && error.code === 'bad_answer';

/**
 * Asks for the entries of a range of handles until there are none. `ask` returns the handle to continue from. Any error after some
 * entries ends it, as "attribute not found" does; another error before the first is thrown.
 */
async function collect(range: { start: number; end: number }, ask: (start: number) => Promise<number>): Promise<void> {
  for (let start = range.start; start <= range.end;) {
    let next: number;
    try {
      next = await ask(start);
    } catch (error) {
      if (isRefusal(error) && error.attError === ATT_ERROR.attributeNotFound) return;
      if (start > range.start && (isRefusal(error) || isBadAnswer(error))) return;
      throw error;
    }
    if (next <= start) return;
    start = next;
  }
}

const badAnswer = (what: string): RadioError => new RadioError('bad_answer', `${what}: the answer is malformed`);

export class GattClient {
  readonly #att: AttClient;
  readonly #listeners = new Map<number, (value: Buffer) => void>();

  constructor(att: AttClient) {
    this.#att = att;
  }

  /** For AttClient's `onValue`. Values without a listener are ignored. */
  value(handle: number, value: Buffer): boolean {
    const listener = this.#listeners.get(handle);
    listener?.(value);
    return listener !== undefined;
  }

  /** All primary services. Rejects with RadioError. */
  async services(): Promise<GattService[]> {
    const found: GattService[] = [];
    const what = 'discovery of services';
    await collect({ start: 1, end: HANDLE_MAX }, async (from) => {
      const answer = await this.#att.request(what, encodeReadByGroupType(from, HANDLE_MAX, PRIMARY_SERVICE));
      const entries = entriesOf(answer, [6, 20]);
      if (entries === undefined) throw badAnswer(what);
      let last = 0;
      for (const entry of entries) {
        const [start, end] = [entry.readUInt16LE(0), entry.readUInt16LE(2)];
        if (start < from || start <= last || end < start) return 0;
        found.push({ start, end, uuid: uuidOfBytes(entry.subarray(4)) });
        last = end;
      }
      return last + 1;
    });
    return found;
  }

  /** The characteristics of a service. Rejects with RadioError. */
  async characteristics(service: GattService): Promise<GattCharacteristic[]> {
    const found: GattCharacteristic[] = [];
    const declarations: number[] = [];
    const what = `discovery of the characteristics of ${service.uuid}`;
    await collect(service, async (from) => {
      const answer = await this.#att.request(what, encodeReadByType(from, service.end, CHARACTERISTIC));
      const entries = entriesOf(answer, [7, 21]);
      if (entries === undefined) throw badAnswer(what);
      let last = 0;
      for (const entry of entries) {
        const declaration = entry.readUInt16LE(0);
        if (declaration < from || declaration <= last || declaration > service.end) return 0;
        const properties = entry.readUInt8(2);
        declarations.push(declaration);
        found.push({
          value: entry.readUInt16LE(3),
          end: service.end,
          uuid: uuidOfBytes(entry.subarray(5)),
          readable: (properties & PROPERTY.read) !== 0,
          notifies: (properties & (PROPERTY.notify | PROPERTY.indicate)) !== 0,
          indicatesOnly: (properties & PROPERTY.notify) === 0,
        });
        last = declaration;
      }
      return last + 1;
    });
    // Descriptors of a characteristic end before the next declaration.
    return found.map((characteristic, index) => ({ ...characteristic, end: (declarations[index + 1] ?? service.end + 1) - 1 }));
  }

  /** A value of up to 512 bytes. Rejects with RadioError. */
  async read({ uuid, value }: GattCharacteristic): Promise<Buffer> {
    const what = `read of ${uuid}`;
    const first = (await this.#att.request(what, encodeRead(value))).subarray(1);
    return await this.#readOn(what, value, first, first.length >= this.#att.mtu - 1);
  }

  /**
   * The value of the first attribute of this type, wherever it is (Core, volume 3 part G, 4.8.2): one request, without discovery. Up to
   * 512 bytes; undefined if there is none. The link is not paired for it. Rejects with RadioError.
   */
  async readFirst(type: number): Promise<Buffer | undefined> {
    const what = `read of ${type.toString(16)}`;
    const options = { pairs: false };
    const answer = await this.#att.request(what, encodeReadByType(1, HANDLE_MAX, type), options).catch((error: unknown) => {
      if (isRefusal(error) && error.attError === ATT_ERROR.attributeNotFound) return undefined;
      throw error;
    });
    if (answer === undefined) return undefined;
    const length = answer[1] ?? 0;
    if (length < 2 || answer.length < 2 + length) throw badAnswer(what);
    const first = answer.subarray(4, 2 + length);
    // An answer holds at most so much of a value (Core, volume 3 part F, 3.4.4.2).
    const isFull = first.length >= Math.min(this.#att.mtu - 4, READ_BY_TYPE_MAX);
    return await this.#readOn(what, answer.readUInt16LE(2), first, isFull, options);
  }

  /** The whole value of which `first` has been read; it may be longer only if that filled its answer. */
  async #readOn(
    what: string,
    handle: number,
    first: Buffer,
    isFull: boolean,
    options: { pairs?: boolean } = {},
  ): Promise<Buffer> {
    let all = first;
    for (let mayGoOn = isFull; mayGoOn && all.length < VALUE_MAX;) {
      let part: Buffer;
      try {
        part = (await this.#att.request(what, encodeReadBlob(handle, all.length), options)).subarray(1);
      } catch (error) {
        // The value was exactly as long as what has been read ("attribute not long", "invalid offset").
        if (isRefusal(error)) break;
        throw error;
      }
      all = Buffer.concat([all, part]);
      mayGoOn = part.length >= this.#att.mtu - 1;
    }
    return all;
  }

  /** Rejects with RadioError. */
  async write({ uuid, value }: GattCharacteristic, bytes: Buffer): Promise<void> {
    await this.#att.request(`write to ${uuid}`, encodeWrite(value, bytes));
  }

  /**
   * Requests notifications, or indications if there are none; `onValue` replaces an earlier listener at once. A characteristic without
   * a configuration descriptor needs no request: if it sends, it does so anyway. Rejects with RadioError.
   */
  async subscribe(characteristic: GattCharacteristic, onValue: (value: Buffer) => void): Promise<void> {
    this.#listeners.set(characteristic.value, onValue);
    const descriptor = await this.#configurationOf(characteristic);
    if (descriptor === undefined) return;
    const bits = characteristic.indicatesOnly ? 0x0002 : 0x0001;
    await this.#att.request(`subscription to ${characteristic.uuid}`, encodeWrite(descriptor, Buffer.of(bits, 0)));
  }

  async #configurationOf(characteristic: GattCharacteristic): Promise<number | undefined> {
    try {
      return await this.#descriptorByInformation(characteristic);
    } catch (error) {
      if (isRefusal(error) || isBadAnswer(error)) return await this.#descriptorByType(characteristic);
      throw error;
    }
  }

  async #descriptorByInformation({ uuid, value, end }: GattCharacteristic): Promise<number | undefined> {
    let found: number | undefined;
    const what = `discovery of the descriptors of ${uuid}`;
    await collect({ start: value + 1, end }, async (from) => {
      const answer = await this.#att.request(what, encodeFindInformation(from, end));
      const length = answer[1] === 1 ? 4 : 18;
      let last = 0;
      for (let at = 2; at + length <= answer.length; at += length) {
        const handle = answer.readUInt16LE(at);
        if (handle < from || handle <= last || handle > end) return 0;
        if (uuidOfBytes(answer.subarray(at + 2, at + length)) === CLIENT_CONFIGURATION_UUID) {
          found = handle;
          return 0;
        }
        last = handle;
      }
      if (last === 0) throw badAnswer(what);
      return last + 1;
    });
    return found;
  }

  /** For servers that do not support the request for information. */
  async #descriptorByType({ uuid, value, end }: GattCharacteristic): Promise<number | undefined> {
    if (value >= end) return undefined;
    const what = `discovery of the configuration of ${uuid}`;
    try {
      const answer = await this.#att.request(what, encodeReadByType(value + 1, end, CLIENT_CONFIGURATION));
      return answer.length >= 4 ? answer.readUInt16LE(2) : undefined;
    } catch (error) {
      if (isRefusal(error)) return undefined;
      throw error;
    }
  }
}
