/** Prints its memory in MiB after it verified readings of one run, with a loss every so many, and an account a minute. */
import { Verifier } from '../../../cloud/verify/verifier.ts';
import { readingLine } from './readings.ts';

const [seqs = 0, lostEvery = 1] = process.argv.slice(2).map(Number);
const RUN = '3f9a1c2e00b7d415';
const BLOCK = 100_000;
const PER_MINUTE = 1200;
/** Coprime with BLOCK: visits each of its members once, far from in order. */
const STRIDE = 70_001;

const verifier = new Verifier();
const reading = readingLine(RUN, 0);
for (let from = 1; from <= seqs; from += BLOCK)
  for (let index = 0; index < BLOCK; index += 1) {
    const seq = from + ((index * STRIDE) % BLOCK);
    if (seq % lostEvery === 0) continue;
    const account =
      seq % PER_MINUTE === 1
        ? { account: { run: RUN, from: Math.max(1, seq - PER_MINUTE), to: seq - 1, except: [], at: seq } }
        : undefined;
    verifier.add({ ...reading, seq, ...account });
  }
verifier.report();
globalThis.gc?.();
console.log(Math.round(process.memoryUsage().rss / 1024 / 1024));
