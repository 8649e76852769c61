/**
 * The ratios that CI guards, by their names in the results and in the guard. They compare CPU time, not rates: other load on the machine
 * changes how many processes get a core, but hardly the CPU time of a reading. Wake-ups are compared too, to notice needless polling.
 */
import { median } from './statistics.ts';

export const GUARDED = {
  separate: 'CPU of a message over plain Aedes ÷ CPU of an accepted reading, separate processes',
  one: 'CPU of a message over plain Aedes ÷ CPU of an accepted reading, one process',
  shipped: 'CPU of a message over plain Aedes ÷ CPU of a reading accepted and shipped, aggregated',
  calm: 'readings ÷ wake-ups, npm start at 2 readings/s',
} as const;

/** The median of a column over all runs; NaN if there is none. */
export function medianOf(runs: readonly Readonly<Record<string, number>>[] | undefined, column: string): number {
  return median((runs ?? []).map((run) => run[column] ?? Number.NaN));
}
