/** Writes FIT files for tests, from the protocol's description: any header, byte order, compressed timestamps, developer fields. */
import { fitChecksum } from '../../../recordings/fit/fit-checksum.ts';

export const BASE = { enum: 0x00, uint8: 0x02, uint16: 0x84, uint32: 0x86, text: 0x07, byte: 0x0d, float32: 0x88 } as const;

/** A field of a message: its number, base type and value; bytes are written as they are. */
export interface Field {
  number: number;
  base: number;
  value: number | readonly number[] | Uint8Array;
}

export interface DeveloperField {
  number: number;
  index: number;
  bytes: Uint8Array;
}

const SIZES: Readonly<Record<number, number>> = { 0x84: 2, 0x86: 4, 0x88: 4 };

export interface FitWriterOptions {
  bigEndian?: boolean;
  headerSize?: number;
  protocol?: number;
}

export class FitWriter {
  readonly #data: number[] = [];
  readonly #bigEndian: boolean;
  readonly #options: FitWriterOptions;
  /** Definitions in use, by local type. */
  readonly #defined = new Map<number, string>();

  constructor(options: FitWriterOptions = {}) {
    this.#options = options;
    this.#bigEndian = options.bigEndian ?? false;
  }

  /** Writes a message, and its definition if the local type has another one. `offset`: a compressed header with these five bits. */
  message(
    local: number,
    globalNumber: number,
    fields: readonly Field[],
    { offset, developer = [] }: { offset?: number; developer?: readonly DeveloperField[] } = {},
  ): this {
    const values = fields.map((field) => this.#bytesOf(field));
    const definition = [
      0,
      this.#bigEndian ? 1 : 0,
      ...this.#uint(globalNumber, 2),
      fields.length,
      ...fields.flatMap(({ number, base }, index) => [number, values[index]?.length ?? 0, base]),
      ...(developer.length === 0
        ? []
        : [developer.length, ...developer.flatMap(({ number, index, bytes }) => [number, bytes.length, index])]),
    ];
    const key = definition.join();
    if (this.#defined.get(local) !== key) {
      this.#data.push(0x40 | (developer.length > 0 ? 0x20 : 0) | local, ...definition);
      this.#defined.set(local, key);
    }
    this.#data.push(offset === undefined ? local : 0x80 | (local << 5) | (offset & 0x1f));
    this.#data.push(...values.flat(), ...developer.flatMap(({ bytes }) => [...bytes]));
    return this;
  }

  /** Bytes as they are, between messages. */
  raw(...bytes: number[]): this {
    this.#data.push(...bytes);
    return this;
  }

  fileId(manufacturer = 1, product = 2530): this {
    return this.message(0, 0, [
      { number: 0, base: BASE.enum, value: 4 },
      { number: 1, base: BASE.uint16, value: manufacturer },
      { number: 2, base: BASE.uint16, value: product },
    ]);
  }

  record(timestamp: number, bpm: number, more: readonly Field[] = []): this {
    return this.message(1, 20, [
      { number: 253, base: BASE.uint32, value: timestamp },
      { number: 3, base: BASE.uint8, value: bpm },
      ...more,
    ]);
  }

  /** An `hrv` message: up to five intervals in ms. */
  hrv(...intervals: number[]): this {
    const padded = Array.from({ length: 5 }, (_, index) => intervals[index] ?? 0xffff);
    return this.message(2, 78, [{ number: 0, base: BASE.uint16, value: padded }]);
  }

  /** The file: header, messages, checksum. `size`: another data size in the header; `checksum`: another checksum. */
  close({ size, checksum }: { size?: number; checksum?: number } = {}): Uint8Array {
    const { headerSize = 14, protocol = 0x10 } = this.#options;
    const header = Buffer.alloc(headerSize);
    header[0] = headerSize;
    header[1] = protocol;
    header.writeUInt16LE(2172, 2);
    header.writeUInt32LE(size ?? this.#data.length, 4);
    header.write('.FIT', 8, 'latin1');
    if (headerSize >= 14) header.writeUInt16LE(fitChecksum(header, 0, 12), 12);
    const whole = Buffer.concat([header, Buffer.from(this.#data), Buffer.alloc(2)]);
    whole.writeUInt16LE(checksum ?? fitChecksum(whole, 0, whole.length - 2), whole.length - 2);
    return whole;
  }

  #uint(value: number, size: number): number[] {
    const bytes = Array.from({ length: size }, (_, index) => Math.floor(value / 256 ** index) % 256);
    return this.#bigEndian ? bytes.reverse() : bytes;
  }

  #bytesOf({ base, value }: Field): number[] {
    if (value instanceof Uint8Array) return [...value];
    const size = SIZES[base] ?? 1;
    return (typeof value === 'number' ? [value] : value).flatMap((each) => {
      if (base !== BASE.float32) return this.#uint(each, size);
      const view = new DataView(new ArrayBuffer(4));
      view.setFloat32(0, each, !this.#bigEndian);
      return [...new Uint8Array(view.buffer)];
    });
  }
}

/** 2021-09-08T01:46:40Z. */
export const T0 = 1_000_000_000;

/** A plain activity: `count` records a second apart. */
export function activity(count: number, options: FitWriterOptions = {}, from = T0): FitWriter {
  const writer = new FitWriter(options).fileId();
  for (let index = 0; index < count; index += 1) writer.record(from + index, 100 + (index % 60));
  return writer;
}

/** The 12-bit values of `hr.event_timestamp_12`, packed. */
export function packed12(values: readonly number[]): Uint8Array {
  const bytes: number[] = [];
  for (let at = 0; at < values.length; at += 2) {
    const [a = 0, b = 0] = values.slice(at, at + 2);
    bytes.push(a & 0xff, ((a >> 8) & 0x0f) | ((b & 0x0f) << 4), (b >> 4) & 0xff);
  }
  return Uint8Array.from(bytes);
}

/** `hr` messages as a strap's part of a chained file has them: the first with a timestamp, then eight beats each. */
export function beatsPart(start: number, ticks: readonly number[], rates: readonly number[]): FitWriter {
  const writer = new FitWriter().fileId();
  writer.message(3, 132, [
    { number: 253, base: BASE.uint32, value: start },
    { number: 0, base: BASE.uint16, value: 16_384 },
    { number: 6, base: BASE.uint8, value: [rates[0] ?? 0] },
    { number: 9, base: BASE.uint32, value: [ticks[0] ?? 0] },
  ]);
  for (let at = 1; at < ticks.length; at += 8) {
    const some = Array.from({ length: 8 }, (_, index) => ticks[at + index] ?? ticks.at(-1) ?? 0);
    writer.message(4, 132, [
      { number: 6, base: BASE.uint8, value: Array.from({ length: 8 }, (_, index) => rates[at + index] ?? 0xff) },
      { number: 10, base: BASE.byte, value: packed12(some.map((tick) => tick & 0xfff)) },
    ]);
  }
  return writer;
}

export function concatenated(...parts: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(parts);
}
