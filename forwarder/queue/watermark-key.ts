import type { RunWatermark } from './queue-messages.ts';

/** Identifies a run in a Map: the run alone proves nothing, runs are public. */
export const watermarkKey = ({ gateway, run }: Pick<RunWatermark, 'gateway' | 'run'>): string => `${gateway}/${run}`;
