/** What every bench takes on its command line: `--runs <n>` (5), `--short` (one quick run, to see that it works). */
export interface BenchOptions {
  runs: number;
  short: boolean;
  /** Seconds of one measurement. */
  seconds: number;
}

export function benchOptions(args: readonly string[] = process.argv.slice(2)): BenchOptions {
  const short = args.includes('--short');
  const given = Number(args[args.indexOf('--runs') + 1]);
  return {
    short,
    runs: args.includes('--runs') && Number.isInteger(given) && given > 0 ? given : short ? 1 : 5,
    seconds: short ? 2 : 4,
  };
}

/** A line of progress, on stderr: stdout has the table. */
export function progress(words: string): void {
  process.stderr.write(`${words}\n`);
}

/** The runs of several cases, taken in turn (a b c a b c …): what changes on the machine meanwhile falls on all alike. */
export async function inTurn<T>(
  runs: number,
  cases: readonly { name: string; run: () => Promise<T> }[],
): Promise<Map<string, T[]>> {
  const results = new Map<string, T[]>(cases.map(({ name }) => [name, []]));
  for (let index = 0; index < runs; index += 1)
    for (const { name, run } of cases) {
      progress(`run ${index + 1} of ${runs}: ${name}`);
      results.get(name)?.push(await run());
    }
  return results;
}
