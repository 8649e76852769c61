/**
 * KPL aggregation: many readings in one record, as the Kinesis Producer Library's format describes it (magic F3 89 9A C2, a protobuf
 * message, its MD5). One partition key an aggregate, the same inside and outside, or KCL 2 drops sub-records.
 */
import { createHash } from 'node:crypto';

const MAGIC = Buffer.from([0xf3, 0x89, 0x9a, 0xc2]);
const MD5_BYTES = 16;

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 0x80) {
    bytes.push((rest % 128) | 0x80);
    rest = Math.floor(rest / 128);
  }
  bytes.push(rest);
  return bytes;
}

const lengthDelimited = (field: number, data: Buffer): Buffer => Buffer.concat([Buffer.from([(field << 3) | 2, ...varint(data.length)]), data]);

/** What one more reading of this size adds to an aggregate, in bytes. */
export const aggregatedBytes = (dataBytes: number): number => dataBytes + 12;

/** An aggregate's own bytes beside its readings. */
export const AGGREGATE_OVERHEAD_BYTES = 4 + MD5_BYTES + 300;

/** One aggregate of readings under one partition key. */
export function aggregate(partitionKey: string, readings: readonly Buffer[]): Buffer {
  const parts = [lengthDelimited(1, Buffer.from(partitionKey))];
  for (const data of readings) parts.push(lengthDelimited(3, Buffer.concat([Buffer.from([0x08, 0]), lengthDelimited(3, data)])));
  const message = Buffer.concat(parts);
  return Buffer.concat([MAGIC, message, createHash('md5').update(message).digest()]);
}
