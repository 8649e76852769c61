/** The ratios that CI guards, by their names in results and guard alike. */
import { median } from './statistics.ts';

export const GUARDED = {
  separate: 'accepted, separate processes ÷ plain Aedes hop',
  one: 'accepted, one process ÷ plain Aedes hop',
  shipped: 'shipped, aggregated ÷ plain Aedes hop',
} as const;

/** The median of a column over runs; NaN where there is none. */
export function medianOf(runs: readonly Readonly<Record<string, number>>[] | undefined, column: string): number {
  return median((runs ?? []).map((run) => run[column] ?? Number.NaN));
}
