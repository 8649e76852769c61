/**
 * Texts that clients hand back unread: shard iterators and page tokens. They carry a checksum: whatever this stream did not issue, or was
 * changed, is refused. They survive a restart.
 */
import { createHash } from 'node:crypto';

const CHECKSUM_BYTES = 8;

const checksumOf = (kind: string, content: Buffer): Buffer =>
  createHash('sha256').update(`hr-gateway ${kind}\n`).update(content).digest().subarray(0, CHECKSUM_BYTES);

export function sealed(kind: string, values: readonly unknown[]): string {
  const content = Buffer.from(JSON.stringify(values));
  return Buffer.concat([checksumOf(kind, content), content]).toString('base64');
}

/** The values of a text of `sealed`, or undefined if it is not one of this kind. */
export function unsealed(kind: string, text: string): unknown[] | undefined {
  const bytes = Buffer.from(text, 'base64');
  if (bytes.toString('base64') !== text || bytes.length <= CHECKSUM_BYTES) return undefined;
  const content = bytes.subarray(CHECKSUM_BYTES);
  if (!checksumOf(kind, content).equals(bytes.subarray(0, CHECKSUM_BYTES))) return undefined;
  const values: unknown = JSON.parse(content.toString());
  return Array.isArray(values) ? values : undefined;
}
