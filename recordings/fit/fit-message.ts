/** One data message of a FIT file: values of its fields by number, decoded by base type and byte order. No profile is needed for that. */

export interface FieldDefinition {
  number: number;
  size: number;
  /** As in the definition message; only its low five bits matter, since some recorders omit the high one. */
  baseType: number;
}

export interface DeveloperFieldDefinition {
  number: number;
  size: number;
  developerIndex: number;
}

/** A definition message: how the data messages of one local type are built. */
export interface MessageDefinition {
  globalNumber: number;
  littleEndian: boolean;
  fields: readonly FieldDefinition[];
  developerFields: readonly DeveloperFieldDefinition[];
  /** Bytes of a data message after its header byte. */
  size: number;
}

interface BaseType {
  size: number;
  read(view: DataView, at: number, littleEndian: boolean): number;
  /** FIT's "no value". */
  none: number;
}

const int64 = (big: bigint): number => Number(big);
const BYTE: BaseType = { size: 1, read: (view, at) => view.getUint8(at), none: 0xff };
/** By the low five bits of the base type; 7 is text. Floats have NaN as "no value". */
const BASE_TYPES: readonly (BaseType | undefined)[] = [
  BYTE,
  { size: 1, read: (view, at) => view.getInt8(at), none: 0x7f },
  BYTE,
  { size: 2, read: (view, at, le) => view.getInt16(at, le), none: 0x7fff },
  { size: 2, read: (view, at, le) => view.getUint16(at, le), none: 0xffff },
  { size: 4, read: (view, at, le) => view.getInt32(at, le), none: 0x7fffffff },
  { size: 4, read: (view, at, le) => view.getUint32(at, le), none: 0xffffffff },
  undefined,
  { size: 4, read: (view, at, le) => view.getFloat32(at, le), none: NaN },
  { size: 8, read: (view, at, le) => view.getFloat64(at, le), none: NaN },
  { size: 1, read: (view, at) => view.getUint8(at), none: 0 },
  { size: 2, read: (view, at, le) => view.getUint16(at, le), none: 0 },
  { size: 4, read: (view, at, le) => view.getUint32(at, le), none: 0 },
  BYTE,
  { size: 8, read: (view, at, le) => int64(view.getBigInt64(at, le)), none: int64(0x7fffffffffffffffn) },
  { size: 8, read: (view, at, le) => int64(view.getBigUint64(at, le)), none: int64(0xffffffffffffffffn) },
  { size: 8, read: (view, at, le) => int64(view.getBigUint64(at, le)), none: 0 },
];
const TEXT = 7;
/** The field that is a message's time, in every message. */
const TIMESTAMP = 253;

/** Values of an array; null where the recorder had none. A size that does not fit the type is read as bytes, as other decoders do. */
function valuesOf(view: DataView, baseType: number, littleEndian: boolean): (number | null)[] {
  const number = baseType & 0x1f;
  if (number === TEXT) return [];
  const named = BASE_TYPES[number] ?? BYTE;
  const type = view.byteLength % named.size === 0 ? named : BYTE;
  const values: (number | null)[] = [];
  for (let at = 0; at + type.size <= view.byteLength; at += type.size) {
    const value = type.read(view, at, littleEndian);
    values.push(value === type.none || !Number.isFinite(value) ? null : value);
  }
  return values;
}

export class FitMessage {
  readonly definition: MessageDefinition;
  /** Seconds since 1989-12-31T00:00:00Z, of field 253 or of a compressed header; below 2^28: since the device was switched on. */
  readonly timestamp: number | undefined;
  readonly #view: DataView;
  /** Where the fields begin. */
  readonly #at: number;

  constructor(view: DataView, at: number, definition: MessageDefinition, compressedTimestamp?: number) {
    this.#view = view;
    this.#at = at;
    this.definition = definition;
    this.timestamp = this.number(TIMESTAMP) ?? compressedTimestamp;
  }

  get globalNumber(): number {
    return this.definition.globalNumber;
  }

  /** The bytes of a field, or undefined if the message does not have it. */
  bytes(number: number): DataView | undefined {
    return this.#field(number)?.view;
  }

  /** All values of a field; none if the message does not have it. */
  numbers(number: number): (number | null)[] {
    const field = this.#field(number);
    return field === undefined ? [] : valuesOf(field.view, field.baseType, this.definition.littleEndian);
  }

  /** The first value of a field; null: none. */
  number(number: number): number | null {
    return this.numbers(number)[0] ?? null;
  }

  /** Text of a field up to its first NUL; undefined if it is empty or missing. */
  text(number: number): string | undefined {
    const view = this.bytes(number);
    if (view === undefined) return undefined;
    const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
    const end = bytes.indexOf(0);
    const text = new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end)).trim();
    return text === '' ? undefined : text;
  }

  /** The first value of each developer field that `baseTypeOf` knows. */
  *developerNumbers(baseTypeOf: (developerIndex: number, number: number) => number | undefined): Generator<number | null> {
    const { fields, developerFields, littleEndian } = this.definition;
    let at = this.#at + fields.reduce((sum, { size }) => sum + size, 0);
    for (const { number, size, developerIndex } of developerFields) {
      const baseType = baseTypeOf(developerIndex, number);
      const view = new DataView(this.#view.buffer, this.#view.byteOffset + at, size);
      if (baseType !== undefined) yield valuesOf(view, baseType, littleEndian)[0] ?? null;
      at += size;
    }
  }

  #field(wanted: number): { view: DataView; baseType: number } | undefined {
    let at = this.#at;
    for (const { number, size, baseType } of this.definition.fields) {
      if (number === wanted) return { view: new DataView(this.#view.buffer, this.#view.byteOffset + at, size), baseType };
      at += size;
    }
    return undefined;
  }
}
