import { randomBytes } from 'node:crypto';

/** The partition key of a record by KINESIS_PARTITION_KEY: `device`, `random`, or a fixed text. */
export function partitionKeyOf(setting: string, device: string): string {
  if (setting === 'device') return device;
  return setting === 'random' ? randomBytes(8).toString('hex') : setting;
}
