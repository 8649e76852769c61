/** Sequence numbers that look and sort like Kinesis' own: 56 digits, growing within a shard, time first. */

const BASE = 49_600_000_000_000_000_000_000_000_000_000_000_000_000_000_000_000_000_000n;

/** The public number of the n-th record of the file. */
export function sequenceNumberOf(id: number): string {
  return (BASE + BigInt(id) * 16n + 2n).toString();
}

/** The record's own number, or undefined where the text is no sequence number of ours. */
export function idOfSequenceNumber(text: string): number | undefined {
  if (!/^\d{1,128}$/.test(text)) return undefined;
  const id = (BigInt(text) - BASE - 2n) / 16n;
  return id >= 0n && id <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(id) : undefined;
}
