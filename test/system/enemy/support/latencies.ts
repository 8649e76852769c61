/** How long readings take until they are stored, and how long the operator waits, over a time. */
import { quantile } from '../../planes/support/interruptions.ts';

export const WHO = ['strap', 'calm', 'operator'] as const;
/** The strap's readings, those of the calm publisher, and the operator's requests. */
export type Who = (typeof WHO)[number];
export type Latencies = Record<Who, number[]>;

export const noLatencies = (): Latencies => ({ strap: [], calm: [], operator: [] });

/** Of each: readings are stored within a second, and the operator has an answer within two. */
const P99_MAX_MS: Readonly<Record<Who, number>> = { strap: 1000, calm: 1000, operator: 2000 };
/** Three times a few milliseconds is nothing that anybody notices. */
const P99_SMALL_MS = 250;
const FACTOR_MAX = 3;

const middle = (values: readonly number[]): number => quantile(values, 0.5);

/** The 99th percentile of each of some times, and the middle one of these: other programs of the machine spoil one of them at most. */
export const medianP99 = (times: readonly Latencies[], who: Who): number =>
  middle(times.map((latencies) => quantile(latencies[who], 0.99)));

/**
 * What is slower than it may be, in words; undefined if nothing is. `calmly`: the same run without an attack, just before it. Both laws
 * hold: three times as slow at most, and within a second. The second one says nothing on a machine that is almost that slow without an
 * attack (`isSlow`).
 */
export function slownessOf(calmly: Latencies, during: readonly Latencies[]): string | undefined {
  for (const who of WHO) {
    const now = medianP99(during, who);
    const relativeMs = Math.max(P99_SMALL_MS, FACTOR_MAX * quantile(calmly[who], 0.99));
    const limitMs = isSlow(calmly) ? relativeMs : Math.min(P99_MAX_MS[who], relativeMs);
    if (!(now < limitMs))
      return `${who}: p99 ${Math.round(now)} ms, the middle of ${during.length} times, not below ${Math.round(limitMs)} ms`;
  }
  return undefined;
}

/** Without an attack readings take so long that an attack may triple it beyond the limit: other programs use the processors. */
export const isSlow = (calmly: Latencies): boolean =>
  WHO.some((who) => !(FACTOR_MAX * quantile(calmly[who], 0.99) < P99_MAX_MS[who]));

/** For people: the p99 of each, and of how many. */
export const latencyText = (times: readonly Latencies[]): string =>
  WHO.map((who) => {
    const each = times.map((latencies) => Math.round(quantile(latencies[who], 0.99)));
    return `${who} ${each.join('/')} ms of ${times.reduce((sum, latencies) => sum + latencies[who].length, 0)}`;
  }).join(', ');
