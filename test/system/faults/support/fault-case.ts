/** The cases of the fault suite: which calls can fail in which way, for how long, and when. */
import type { FaultKind, FileCall } from '../../../support/disk-faults/disk-faults.ts';

export type Duration = 'once' | '8 s' | 'for ever';
/** `start`: while the service starts. `work`: while it takes readings and cannot pass them on. `drain`: while it passes them on. */
export type Moment = 'start' | 'work' | 'drain';

export interface FaultCase {
  call: FileCall;
  kind: FaultKind;
  duration: Duration;
  moment: Moment;
}

/** Calls that change nothing fail with EIO only. */
const READING: readonly FileCall[] = ['read', 'readdir', 'stat'];
const CHANGING: readonly FileCall[] = ['open', 'write', 'sync', 'rename', 'unlink', 'mkdir', 'truncate', 'link'];
const CHANGING_KINDS: readonly FaultKind[] = ['EIO', 'ENOSPC', 'EROFS', 'EDQUOT'];

/** Every call with every error that it can have. */
export const FAILURES: readonly Pick<FaultCase, 'call' | 'kind'>[] = [
  ...READING.map((call) => ({ call, kind: 'EIO' as const })),
  ...CHANGING.flatMap((call) => CHANGING_KINDS.map((kind) => ({ call, kind }))),
  { call: 'write', kind: 'short' },
];

const MOMENTS: Readonly<Record<Duration, readonly Moment[]>> = {
  once: ['start', 'work', 'drain'],
  '8 s': ['start', 'work'],
  'for ever': ['work'],
};

/** All cases of a duration. */
export const casesOf = (duration: Duration, moments: readonly Moment[] = MOMENTS[duration]): FaultCase[] =>
  FAILURES.flatMap((failure) => moments.map((moment) => ({ ...failure, duration, moment })));

/** A truncation repairs what a failed write left, so that one has to fail first. */
export const failingCalls = ({ call }: Pick<FaultCase, 'call'>): FileCall[] =>
  call === 'truncate' ? ['write', 'truncate'] : [call];

export const nameOf = ({ call, kind, duration, moment }: FaultCase): string => `${call} ${kind} ${duration} @${moment}`;

/** What a case did. */
export interface CaseResult {
  target: string;
  fault: FaultCase;
  /** Calls that failed. */
  hits: number;
  /** Readings that were stored or spilled before the fault. */
  secured: number;
  /** Codes of checks that failed during the fault. */
  named: string[];
  /** Exits that nobody had asked for, as `part code`. */
  exits: string[];
  /** Readings that are counted as lost, by cause. */
  counted: Record<string, number>;
  healedMs: number;
  /** Broken laws. */
  broken: string[];
}

export function tableOf(results: readonly CaseResult[]): string {
  const lines = results.map(({ target, fault, hits, secured, named, exits, counted, healedMs, broken }) =>
    [
      target.padEnd(8),
      nameOf(fault).padEnd(28),
      `${hits} failed`.padStart(12),
      `${secured} secured`.padStart(13),
      `healed ${(healedMs / 1000).toFixed(1)} s`.padStart(14),
      broken.length === 0 ? 'ok' : `BROKEN: ${broken.join('; ')}`,
      named.length === 0 ? '' : `named ${named.join(',')}`,
      exits.length === 0 ? '' : `exits ${exits.join(',')}`,
      Object.keys(counted).length === 0 ? '' : `lost ${JSON.stringify(counted)}`,
    ].join(' '),
  );
  const reached = results.filter(({ hits }) => hits > 0).length;
  const broken = results.filter((result) => result.broken.length > 0).length;
  return [...lines, `${results.length} cases, ${reached} of them reached a call, ${broken} broke a law`].join('\n');
}
