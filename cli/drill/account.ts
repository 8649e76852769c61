/** The account of a stream: for each run the seqs that are present, missing and duplicated. */
import type { KinesisClient } from '@aws-sdk/client-kinesis';
import { readStream } from '../../cloud/reader/read-stream.ts';
import { parseReading } from '../../contract/reading.ts';

export interface RunAccount {
  run: string;
  /** The highest seq that is present. */
  last: number;
  /** How many different seqs are present. */
  present: number;
  /** Seqs below `last` that are absent. */
  missing: number[];
  /** How many records repeat a seq that another record already has. */
  duplicates: number;
}

/** Reads a stream from its oldest to its newest record. */
export async function accountOf(client: KinesisClient, stream: string): Promise<RunAccount[]> {
  const runs = new Map<string, Map<number, number>>();
  for await (const { data } of readStream(client, { stream, from: 'oldest', untilCaughtUp: true, pollMs: 210 })) {
    const reading = parseReading(data.toString());
    if (!reading.ok || reading.value.run === undefined || reading.value.seq === undefined) continue;
    const seqs = runs.get(reading.value.run) ?? new Map<number, number>();
    seqs.set(reading.value.seq, (seqs.get(reading.value.seq) ?? 0) + 1);
    runs.set(reading.value.run, seqs);
  }
  return [...runs].map(([run, seqs]) => {
    const last = Math.max(...seqs.keys());
    const missing = Array.from({ length: last }, (_, index) => index + 1).filter((seq) => !seqs.has(seq));
    return { run, last, present: seqs.size, missing, duplicates: [...seqs.values()].reduce((sum, count) => sum + count - 1, 0) };
  });
}
