/** Options of every benchmark: `--runs <n>` (default 5), `--short` (one quick run, to check that it works). */
export interface BenchOptions {
  runs: number;
  short: boolean;
  /** Duration of one measurement. */
  seconds: number;
}

export function benchOptions(args: readonly string[] = process.argv.slice(2)): BenchOptions {
  const short = args.includes('--short');
  const given = Number(args[args.indexOf('--runs') + 1]);
  const defaultRuns = short ? 1 : 5;
  return {
    short,
    runs: args.includes('--runs') && Number.isInteger(given) && given > 0 ? given : defaultRuns,
    seconds: short ? 2 : 4,
  };
}

/** Prints a line of progress on stderr; stdout is for the table. */
export function progress(words: string): void {
  process.stderr.write(`${words}\n`);
}

/** Runs several cases in turn (a b c a b c …), so that other load on the machine affects all of them alike. */
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
