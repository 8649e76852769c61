/**
 * The ratios that CI guards, by their names in results and guard alike. Of CPU, not of rates: what else a machine does changes how many
 * processes get a core, and hardly what a reading costs. And of wake-ups: a poll that nobody needs shows there.
 */
import { median } from './statistics.ts';

export const GUARDED = {
  separate: 'CPU of a message over plain Aedes ÷ CPU of an accepted reading, separate processes',
  one: 'CPU of a message over plain Aedes ÷ CPU of an accepted reading, one process',
  shipped: 'CPU of a message over plain Aedes ÷ CPU of a reading accepted and shipped, aggregated',
  calm: 'readings ÷ wake-ups, npm start at 2 readings/s',
} as const;

/** The median of a column over runs; NaN where there is none. */
export function medianOf(runs: readonly Readonly<Record<string, number>>[] | undefined, column: string): number {
  return median((runs ?? []).map((run) => run[column] ?? Number.NaN));
}
