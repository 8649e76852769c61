/** Sequence numbers that look and sort like those of Kinesis: 56 digits, growing within a shard. */

const BASE = 49_600_000_000_000_000_000_000_000_000_000_000_000_000_000_000_000_000_000n;

/** The sequence number of a record id. */
export function sequenceNumberOf(id: number): string {
  return (BASE + BigInt(id) * 16n + 2n).toString();
}

/** The record id of a sequence number, or undefined if no stream can have issued it. */
export function idOfSequenceNumber(text: string): number | undefined {
  if (!/^\d{1,129}$/.test(text)) return undefined;
  const id = (BigInt(text) - BASE - 2n) / 16n;
  if (id < 0n || id > BigInt(Number.MAX_SAFE_INTEGER)) return undefined;
  return sequenceNumberOf(Number(id)) === text ? Number(id) : undefined;
}
