/** The readings in one record of a Lambda event: from this gateway, plain or aggregated, or from the script that it replaces. */
import { parseReading, type IncomingReading } from '../../contract/reading.ts';
import { isAccountRecord } from '../../contract/stream-account.ts';
import { deaggregate } from '../aggregation.ts';

/** A record that holds no reading: a retry cannot help. */
export class MalformedRecord extends Error {
  override readonly name = 'MalformedRecord';
}

/** Python's isoformat(), which the old producer may have used: an offset, or nothing, instead of the contract's Z. */
const ISOFORMAT = /^(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}:\d{2}(?:\.\d+)?)(Z|[+-]\d{2}:\d{2})?$/;

/** A record whose time is in Python's format, converted to the contract's; undefined for anything else. */
function oldProducersReading(data: Buffer): IncomingReading | undefined {
  let value: unknown;
  try {
    value = JSON.parse(data.toString());
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null || !('timestamp' in value) || typeof value.timestamp !== 'string')
    return undefined;
  const [, date, time, zone] = ISOFORMAT.exec(value.timestamp) ?? [];
  if (date === undefined) return undefined;
  const at = new Date(`${date}T${time}${zone ?? 'Z'}`);
  if (Number.isNaN(at.getTime())) return undefined;
  const parsed = parseReading(JSON.stringify({ ...value, timestamp: at.toISOString() }));
  return parsed.ok ? parsed.value : undefined;
}

/** A record of accounts is no reading (KINESIS_ACCOUNTS=records), and nothing to retry. */
function isAccounts(data: Buffer): boolean {
  try {
    return isAccountRecord(JSON.parse(data.toString()));
  } catch {
    return false;
  }
}

/**
 * The readings in a record's data, in their order, each checked by the contract's schema. Throws MalformedRecord with the reason, but
 * never with the content, which is personal data.
 */
export function readingsOfRecord(partitionKey: string, data: Buffer): IncomingReading[] {
  return deaggregate(partitionKey, data).flatMap((record) => {
    const parsed = parseReading(record.data);
    if (parsed.ok) return [parsed.value];
    const old = oldProducersReading(record.data);
    if (old !== undefined) return [old];
    if (isAccounts(record.data)) return [];
    throw new MalformedRecord(parsed.reason);
  });
}

/** A reading's identity, or undefined if its producer gave it none. */
export function identityOf({ gateway, run, seq }: IncomingReading): string | undefined {
  return gateway === undefined || run === undefined || seq === undefined ? undefined : `${gateway}\n${run}\n${seq}`;
}
