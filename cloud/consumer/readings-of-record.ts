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

/** Whose accounts a record holds: it is no reading (KINESIS_ACCOUNTS=records), and nothing to retry. Undefined for any other record. */
function accountsGateway(data: Buffer): string | undefined {
  try {
    const value: unknown = JSON.parse(data.toString());
    if (!isAccountRecord(value)) return undefined;
    return typeof value === 'object' && value !== null && 'gateway' in value ? String(value.gateway) : '';
  } catch {
    return undefined;
  }
}

/** What a record of the stream holds. */
export interface RecordContents {
  /** In their order. */
  readings: IncomingReading[];
  /** Gateways whose account records, heartbeats too, it holds. */
  accountsOf: string[];
}

/**
 * What a record's data holds, each reading checked by the contract's schema. Throws MalformedRecord with the reason, but
 * never with the content, which is personal data.
 */
export function contentsOfRecord(partitionKey: string, data: Buffer): RecordContents {
  const contents: RecordContents = { readings: [], accountsOf: [] };
  for (const record of deaggregate(partitionKey, data)) {
    const parsed = parseReading(record.data);
    const reading = parsed.ok ? parsed.value : oldProducersReading(record.data);
    const gateway = reading === undefined ? accountsGateway(record.data) : undefined;
    if (reading !== undefined) contents.readings.push(reading);
    else if (gateway !== undefined) contents.accountsOf.push(gateway);
    else if (!parsed.ok) throw new MalformedRecord(parsed.reason);
  }
  return contents;
}

/** A reading's identity, or undefined if its producer gave it none. */
export function identityOf({ gateway, run, seq }: IncomingReading): string | undefined {
  return gateway === undefined || run === undefined || seq === undefined ? undefined : `${gateway}\n${run}\n${seq}`;
}
