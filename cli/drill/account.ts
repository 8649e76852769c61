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

export interface StreamAccount {
  runs: RunAccount[];
  /** Records that are no numbered reading, and why the first of them is none. */
  others: number;
  firstReason: string;
}

/** Reads a stream from its oldest to its newest record. */
export async function accountOf(client: KinesisClient, stream: string): Promise<StreamAccount> {
  let others = 0;
  let firstReason = '';
  const runs = new Map<string, Map<number, number>>();
  for await (const { data } of readStream(client, { stream, from: 'oldest', untilCaughtUp: true, pollMs: 210 })) {
    const reading = parseReading(data.toString());
    const { run, seq } = reading.ok ? reading.value : {};
    if (run === undefined || seq === undefined) {
      if (others === 0) firstReason = reading.ok ? 'it has no run and seq' : reading.reason;
      others += 1;
      continue;
    }
    const seqs = runs.get(run) ?? new Map<number, number>();
    seqs.set(seq, (seqs.get(seq) ?? 0) + 1);
    runs.set(run, seqs);
  }
  const accounts = [...runs].map(([run, seqs]) => {
    const last = Math.max(...seqs.keys());
    const missing = Array.from({ length: last }, (_, index) => index + 1).filter((seq) => !seqs.has(seq));
    return { run, last, present: seqs.size, missing, duplicates: [...seqs.values()].reduce((sum, count) => sum + count - 1, 0) };
  });
  return { runs: accounts, others, firstReason };
}
