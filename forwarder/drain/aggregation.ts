/**
 * KPL aggregation: many readings in one record, in the format of the Kinesis Producer Library (magic F3 89 9A C2, a protobuf message,
 * its MD5). The one partition key of an aggregate must be the same inside and outside, or KCL 2 drops its records.
 */
import { createHash } from 'node:crypto';

const MAGIC = Buffer.from([0xf3, 0x89, 0x9a, 0xc2]);
const MD5_BYTES = 16;
/** Protobuf tags: field 1 and field 3, length-delimited; field 1, varint. */
const KEY_TABLE = 0x0a;
const RECORD = 0x1a;
const KEY_INDEX = 0x08;
const DATA = 0x1a;

function varintBytes(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  if (value < 0x20_0000) return 3;
  return value < 0x1000_0000 ? 4 : 5;
}

function writeVarint(into: Buffer, at: number, value: number): number {
  let rest = value;
  let position = at;
  while (rest >= 0x80) {
    into[position] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
    position += 1;
  }
  into[position] = rest;
  return position + 1;
}

/** The most bytes that a reading of this size adds to an aggregate. */
export const aggregatedBytes = (dataBytes: number): number => dataBytes + 12;

/** The most bytes of an aggregate besides its readings. Its key counts twice: inside, and as the record's own. */
export const aggregateOverheadBytes = (partitionKey: string): number =>
  MAGIC.length + MD5_BYTES + 6 + 2 * Buffer.byteLength(partitionKey);

/** Encodes readings as one aggregate under one partition key. */
export function aggregate(partitionKey: string, readings: readonly Buffer[]): Buffer {
  const key = Buffer.from(partitionKey);
  // Index (a tag and a zero), then tag, length and data.
  const inner = (data: Buffer): number => 3 + varintBytes(data.length) + data.length;
  let size = MAGIC.length + 1 + varintBytes(key.length) + key.length + MD5_BYTES;
  for (const data of readings) size += 1 + varintBytes(inner(data)) + inner(data);
  const whole = Buffer.allocUnsafe(size);
  let at = MAGIC.copy(whole);
  whole[at] = KEY_TABLE;
  at = writeVarint(whole, at + 1, key.length);
  at += key.copy(whole, at);
  for (const data of readings) {
    whole[at] = RECORD;
    at = writeVarint(whole, at + 1, inner(data));
    whole[at] = KEY_INDEX;
    whole[at + 1] = 0;
    whole[at + 2] = DATA;
    at = writeVarint(whole, at + 3, data.length);
    at += data.copy(whole, at);
  }
  createHash('md5').update(whole.subarray(MAGIC.length, at)).digest().copy(whole, at);
  return whole;
}
