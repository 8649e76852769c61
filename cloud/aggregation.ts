/** Splits KPL aggregates (magic F3 89 9A C2, protobuf, MD5) into their records; any other record is returned unchanged. */
import { createHash } from 'node:crypto';

const MAGIC = Buffer.from([0xf3, 0x89, 0x9a, 0xc2]);
const MD5_BYTES = 16;

class ProtobufReader {
  readonly #data: Buffer;
  #at = 0;

  constructor(data: Buffer) {
    this.#data = data;
  }

  get more(): boolean {
    return this.#at < this.#data.length;
  }

  varint(): number {
    let value = 0;
    for (let shift = 0; shift < 10; shift += 1) {
      const byte = this.#data[this.#at];
      if (byte === undefined) throw new RangeError('truncated');
      this.#at += 1;
      value += (byte & 0x7f) * 2 ** (7 * shift);
      if (byte < 0x80) return value;
    }
    throw new RangeError('varint too long');
  }

  bytes(): Buffer {
    const length = this.varint();
    if (this.#at + length > this.#data.length) throw new RangeError('truncated');
    this.#at += length;
    return this.#data.subarray(this.#at - length, this.#at);
  }

  /** The next field: its number, and its value (length-delimited or varint). Throws RangeError for other wire types. */
  field(): { field: number; value: Buffer | number } {
    const tag = this.varint();
    const kind = tag & 7;
    if (kind === 0) return { field: tag >>> 3, value: this.varint() };
    if (kind === 2) return { field: tag >>> 3, value: this.bytes() };
    throw new RangeError(`wire type ${kind}`);
  }
}

export interface UserRecord {
  partitionKey: string;
  data: Buffer;
}

function parseAggregate(message: Buffer): UserRecord[] {
  const keys: string[] = [];
  const records: { key: number; data: Buffer }[] = [];
  const reader = new ProtobufReader(message);
  while (reader.more) {
    const { field, value } = reader.field();
    if (field === 1 && Buffer.isBuffer(value)) keys.push(value.toString());
    if (field !== 3 || !Buffer.isBuffer(value)) continue;
    const record = { key: 0, data: Buffer.alloc(0) as Buffer };
    const inner = new ProtobufReader(value);
    while (inner.more) {
      const part = inner.field();
      if (part.field === 1 && typeof part.value === 'number') record.key = part.value;
      if (part.field === 3 && Buffer.isBuffer(part.value)) record.data = part.value;
    }
    records.push(record);
  }
  return records.map(({ key, data }) => ({ partitionKey: keys[key] ?? '', data }));
}

/** The user records of one Kinesis record: those of an aggregate, else the record itself. */
export function deaggregate(partitionKey: string, data: Buffer): UserRecord[] {
  const body = data.subarray(MAGIC.length, Math.max(MAGIC.length, data.length - MD5_BYTES));
  const isAggregate =
    data.length > MAGIC.length + MD5_BYTES &&
    data.subarray(0, MAGIC.length).equals(MAGIC) &&
    createHash('md5')
      .update(body)
      .digest()
      .equals(data.subarray(data.length - MD5_BYTES));
  if (!isAggregate) return [{ partitionKey, data }];
  try {
    return parseAggregate(body);
  } catch {
    return [{ partitionKey, data }];
  }
}
